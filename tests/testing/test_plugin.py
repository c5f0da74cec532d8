"""The pytest fixture as users have it: real runs of pytest, over tests that are async and tests that are not."""

import asyncio
import inspect
import subprocess
import sys
import urllib.request

import pytest

from mockexport import MockServer
from mockexport.server.run import ServerOptions
from mockexport.testing import mock_server

pytest_plugins = ["pytester"]

# What is not needed here takes its time to load.
WITHOUT = ["-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:randomly", "-p", "no:xdist"]
INI = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = --strict-markers -W error
"""


def test_the_server_is_there_for_any_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import json, urllib.request
        import aiohttp, pytest

        def asked(server, path):
            return json.load(urllib.request.urlopen(f"{server.url}/api/export{path}"))["data"]

        def test_plain(mock_export_server):
            assert asked(mock_export_server, "")["export_ids"] == ["demo", "small", "large"]
            assert not mock_export_server.faults.probabilities

        async def test_async(mock_export_server):
            async with aiohttp.ClientSession() as session:
                async with session.get(mock_export_server.url + "/api/export/demo") as reply:
                    assert reply.status == 200

        @pytest.mark.mock_export(faults={"status": 1.0}, seed=7)
        def test_faults(mock_export_server):
            first = asked(mock_export_server, "/demo")["download_ids"][0]
            with pytest.raises(urllib.error.HTTPError) as raised:
                asked(mock_export_server, f"/demo/{first}/data")
            raised.value.close()
            assert mock_export_server.faults.served[0].fault.kind == "status"

        @pytest.mark.mock_export(token="let-me-in")
        def test_token(mock_export_server):
            with pytest.raises(urllib.error.HTTPError) as raised:
                asked(mock_export_server, "")
            raised.value.close()
            assert (raised.value.code, raised.value.headers["WWW-Authenticate"][:6]) == (401, "Bearer")
            fields = {"Authorization": "Bearer let-me-in"}
            request = urllib.request.Request(mock_export_server.url + "/api/export", headers=fields)
            with urllib.request.urlopen(request) as reply:
                assert reply.status == 200

        ONCE = [{"route": "export", "kind": "status", "status": 429, "retry_after": 2}]

        @pytest.mark.mock_export(faults=ONCE, tls=True)
        async def test_script_and_tls(mock_export_server):
            import ssl
            context = ssl.create_default_context(cafile=mock_export_server.ca_file)
            async with aiohttp.ClientSession(mock_export_server.url) as session:
                for wanted in (429, 200):
                    async with session.get("/api/export/demo?x=1", ssl=context) as reply:
                        assert reply.status == wanted
            assert [(r.path, r.status, r.range) for r in mock_export_server.requests] == [
                ("/api/export/demo?x=1", 429, None), ("/api/export/demo?x=1", 200, None)
            ]

        def test_own_tables_of_two_servers(start_mock_export, tmp_path):
            table = tmp_path / "ward.csv"
            table.write_text("patient_id,event_time,event_type,value\\nA,2025-01-01,pulse,61\\n")
            ward, builtin = start_mock_export(exports={"ward": table}), start_mock_export()
            assert asked(ward, "")["export_ids"] == ["ward"]
            assert asked(builtin, "")["export_ids"] == ["demo", "small", "large"]
            assert [len(server.requests) for server in (ward, builtin)] == [1, 1]

        def test_port(start_mock_export):
            port = int(start_mock_export().url.rpartition(":")[2])
            with pytest.raises(Exception, match="in use"):
                start_mock_export(port=port)

        @pytest.mark.mock_export("reset=1")
        def test_wrong(mock_export_server):
            pass

        @pytest.mark.mock_export(fautls="reset=1")
        def test_misspelt(mock_export_server):
            pass

        @pytest.mark.mock_export(data="nowhere")
        def test_nowhere(mock_export_server):
            pass
        """
    )
    pytester.makeini(INI)
    ran = pytester.runpytest_subprocess(*WITHOUT)
    ran.assert_outcomes(passed=7, errors=3)
    ran.stdout.fnmatch_lines(["*the marker mock_export takes, by their names: data, exports, faults*", "*FolderError*"])


def test_it_loads_nothing_until_a_test_asks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert "mockexport.testing.plugin" in sys.modules
            assert not {"aiohttp", "mockexport.server", "mockexport.reducers"} & {*sys.modules}
        """
    )
    alone = ["-p", "no:aiohttp", "-p", "no:asyncio", "-p", "no:anyio", "-W", "error"]
    pytester.runpytest_subprocess(*WITHOUT, *alone).assert_outcomes(passed=1)


def test_the_room_needs_no_test_framework() -> None:
    program = (
        "import sys, mockexport.testing as t; t.check_reducer, t.mock_server\n"
        "assert not {'pytest', 'hypothesis'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python is to have no policies one day
def test_the_server_has_an_event_loop_of_its_own_choice() -> None:
    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            raise RuntimeError("the test's policy makes loops for the test")

    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(Policy())
    try:
        with mock_server() as server, urllib.request.urlopen(f"{server.url}/api/export") as reply:  # noqa: S310
            assert reply.status == 200
    finally:
        asyncio.set_event_loop_policy(before)


def test_what_the_marker_takes_is_what_the_server_takes() -> None:
    parameters = inspect.signature(MockServer).parameters
    assert [*parameters] == [*ServerOptions.__annotations__]
