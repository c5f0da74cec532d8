"""The pytest plugin: two fixtures and one marker. It is loaded in every run of pytest where mockexport is installed.

So nothing but pytest is imported before a test asks for a fixture.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mockexport.server.run import MockServer


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line(
        "markers",
        "mock_export(faults=None, seed=0, exports=None, data=None, token=None, tls=False, port=0, …): what"
        " mock_export_server serves, and what goes wrong: all that mockexport.MockServer takes, by name",
    )


@pytest.fixture
def start_mock_export() -> "Iterator[Callable[..., MockServer]]":
    """A function that starts mock servers, each on a port of its own, until the end of the test.

    `start_mock_export(exports={"ward": tmp_path}, faults=[…])` takes what mockexport.MockServer does, by name.
    """
    from mockexport.testing.serving import mock_server

    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(mock_server(**options))


@pytest.fixture
def mock_export_server(request: pytest.FixtureRequest, start_mock_export: "Callable[..., MockServer]") -> "MockServer":
    """mockexport's mock server on a free port of this machine: `url`, and the `requests` that have come.

    `@pytest.mark.mock_export(faults="reset=0.2", seed=7)` says what it does; see mockexport.MockServer.
    """
    from mockexport.server.run import ServerOptions

    marker = request.node.get_closest_marker("mock_export")
    options = {} if marker is None else marker.kwargs
    known = sorted(ServerOptions.__annotations__)
    if marker is not None and (marker.args or not options.keys() <= {*known}):
        raise pytest.UsageError(f"the marker mock_export takes, by their names: {', '.join(known)}")
    return start_mock_export(**options)
