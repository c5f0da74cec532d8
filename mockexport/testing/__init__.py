"""For tests of your own: the laws of reducers as a function, and the mock server for clients in any test.

    laws.py      `check_reducer`: what every reducer must keep, over random rows
    serving.py   `mock_server`: the mock server beside a test, in a thread of its own
    plugin.py    pytest's fixtures `mock_export_server` and `start_mock_export`, wherever mockexport is installed

Nothing is imported before it is used: pytest loads this room in every run, also in those that do without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mockexport.testing.laws import LawBroken, check_reducer
    from mockexport.testing.serving import mock_server

__all__ = ["LawBroken", "check_reducer", "mock_server"]

_HOMES = {"LawBroken": "laws", "check_reducer": "laws", "mock_server": "serving"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
