"""The pytest fixture as users have it: real runs of pytest, over tests that are async and tests that are not."""

import subprocess
import sys

import pytest

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

        @pytest.mark.mock_export("reset=1")
        def test_wrong(mock_export_server):
            pass

        @pytest.mark.mock_export(data="nowhere")
        def test_nowhere(mock_export_server):
            pass
        """
    )
    pytester.makeini(INI)
    ran = pytester.runpytest_subprocess(*WITHOUT)
    ran.assert_outcomes(passed=4, errors=2)
    ran.stdout.fnmatch_lines(["*mock_export takes data, faults, seed and token by their names*", "*FolderError*"])


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
