"""A script of faults: read with errors that help, and over real sockets what it says, to clients that others wrote."""

import asyncio
import zlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mockexport import Faults, MockServer, RetryPolicy, TimeLimits, analyze
from mockexport.errors import OptionError
from mockexport.server.exports import downloads_of
from mockexport.server.kinds import AT_A_BYTE, EDITS, KINDS, ROUTES
from tests.cli.conftest import Run, run
from tests.server.test_tls import curl

__all__ = ["run"]

FIRST, SECOND = (f"/api/export/demo/{download.id}" for download in downloads_of("demo"))
LENGTHS = (391_899, 424_663)
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections broken on purpose


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    return path


WHOLE = """
[[fault]]
download = 2
kind = "cut"
at = 4096

[[fault]]
export = "demo"
download = 1
kind = "status"
status = 429
retry_after = 1
times = 2

[[fault]]
route = "metadata"
export = "demo"
kind = "delay"
seconds = 0.01
attempt = 2
times = "always"
"""


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("kind = 'cutt'\nat = 1", "entry 1: kind: no kind 'cutt'; there are refuse, .*; did you mean cut"),
        ("at = 1", "entry 1: kind: must say what happens: refuse"),
        ("kind = 'cut'", "entry 1: at: cut needs it: a byte, such as 4096, or a share, such as '50%'"),
        ("kind = 'cut'\nat = -1", "at: must be a byte, from 0 up, or a share such as '50%', and not -1"),
        ("kind = 'cut'\nat = '150%'", "at: must be a byte"),
        ("kind = 'cut'\nat = true", "at: must be a byte"),
        ("kind = 'cut'\nat = 1.5", "at: must be a byte"),
        ("kind = 'cut'\nat = 1\ntimes = 0", "times: must be a whole number from 1 up or 'always', and not 0"),
        ("kind = 'cut'\nat = 1\ntimes = 'ever'", "times: .* and not 'ever'"),
        ("kind = 'cut'\nat = 1\nattempts = 2", "there is no 'attempts'; cut takes .*; did you mean attempt"),
        ("kind = 'cut'\nat = 1\nstatus = 500", "there is no 'status'; cut takes kind, route"),
        ("kind = 'cut'\nat = 1\ndownload = 0", "download: must be a whole number from 1 up, and not 0"),
        ("kind = 'cut'\nat = 1\ndownload = 2.0", "download: must be an id or a place in the listing, from 1, and not"),
        (
            "kind = 'cut'\nat = 1\nroute = 'dta'",
            "route: 'dta' is none of exports, export, metadata, data; did you mean",
        ),
        ("kind = 'cut'\nat = 1\nranged = 'no'", "ranged: must be true or false"),
        ("kind = 'status'", "status: must be a whole number from 400 to 599, and not None"),
        ("kind = 'status'\nstatus = 200", "status: must be a whole number from 400 to 599, and not 200"),
        ("kind = 'status'\nstatus = 503\nretry_after = \"1\\r\\nx: y\"", "retry_after: must be seconds, .* and not '1"),
        ("kind = 'delay'\nseconds = nan", "seconds: must be a number from 0 to 86,400, and not nan"),
        ("kind = 'delay'\nseconds = -1", "seconds: "),
        ("kind = 'wrong-206'\nvariant = 'x'", "variant: 'x' is none of other-first"),
        ("kind = 'wrong-206'\nranged = false", "ranged: wrong-206 is about requests with a Range"),
        ("kind = 'etag'\nat = 1\nroute = 'metadata'", "route: etag happens to data alone; elsewhere: cut"),
        ("kind = 'html'\nroute = 'export'\ndownload = 1", "download: the route export has none"),
        ("kind = 'html'\nroute = 'exports'\nexport = 'demo'", "export: the route exports has none"),
        ("kind = 'fhir-500'", r"kind: fhir-500 cannot be scripted; give it a probability under \[probabilities\]"),
        ("kind = 'cut'\nat = 1\ndownload = 21", "download: no 21 is on offer; give a place from 1 to 20, an id"),
        (
            "kind = 'cut'\nat = 1\nexport = 'dmeo'",
            "export: no export 'dmeo'; there are demo, small, large; did you mean",
        ),
        ("kind = 'cut'\nat = 999999\nexport = 'demo'", "at: byte 999,999 is beyond the end; there are 424,663 bytes"),
    ],
)
async def test_an_entry_that_cannot_be_meant_is_told_with_its_file_its_place_and_what_is_allowed(
    entry: str, told: str, tmp_path: Path
) -> None:
    path = script(tmp_path, f"[[fault]]\n{entry}\n")
    with pytest.raises(OptionError, match=told) as raised:
        async with MockServer(faults=path):
            pass
    assert f"{path}, entry 1" in str(raised.value)


HOSTILE: dict[str, bytes] = {
    "is no TOML": b"\x00\xff",
    "is no TOML: ": b"fault = " + b"[" * 5000,
    "is longer than 1,048,576 bytes": b"#" * ((1 << 20) + 1),
    "has 1,001 entries; 1,000 are the most": b"[[fault]]\nkind='refuse'\n" * 1001,
    "entries are tables, each headed": b"fault = 1",
    "entries are tables, each": b"fault = ['x']",
    r"there is no 'faults'; there are \[\[fault\]\] and \[probabilities\]; did you mean fault": b"faults = 1",
    "probabilities: must be a table": b"probabilities = 1",
    "probabilities: must be a table of": b"[probabilities]\nreset = nan",
    "no kind 'rest'": b"[probabilities]\nrest = 0.1",
    "kind: no kind 'xxx": b"[[fault]]\nkind = '" + b"x" * 100_000 + b"'",
    "kind: no kind .*033.*there are": b'[[fault]]\nkind = "\\u001b[2J"',
    "attempt: must be a whole number from 1 up": b"[[fault]]\nkind = 'refuse'\nattempt = 1" + b"0" * 3000,
}


@pytest.mark.parametrize("told", HOSTILE)
def test_a_hostile_file_is_a_short_error(told: str, tmp_path: Path) -> None:
    (tmp_path / "faults.toml").write_bytes(HOSTILE[told])
    with pytest.raises(OptionError) as raised:
        Faults.read(tmp_path / "faults.toml")
    assert len(str(raised.value)) < 2_000
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize("name", ["nowhere.toml", "/dev/zero", ".", "a\0b.toml"])
def test_what_is_no_file_is_told(name: str) -> None:
    with pytest.raises(OptionError, match=r"faults: .* cannot be read: "):
        Faults.read(name)


async def test_a_script_happens_as_it_says_and_the_requests_tell(tmp_path: Path) -> None:
    async with MockServer(faults=script(tmp_path, WHOLE)) as server, aiohttp.ClientSession(server.url) as session:

        async def status(path: str) -> int:
            async with session.get(path) as reply:
                return reply.status

        assert [await status(f"{FIRST}/data") for _ in range(3)] == [429, 429, 200]
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(f"{SECOND}/data") as reply:
                await reply.read()
        async with session.get(f"{SECOND}/data", headers={"Range": "bytes=4096-"}) as reply:
            assert len(await reply.read()) == LENGTHS[1] - 4096
        assert [await status(FIRST) for _ in range(3)] == [200] * 3

    data = [asked for asked in server.requests if asked.route == "data"]
    assert [asked.status for asked in data] == [429, 429, 200, 200, 206]
    assert [asked.fault.kind if asked.fault else None for asked in data] == ["status", "status", None, "cut", None]
    assert [asked.range for asked in data] == [None, None, None, None, "bytes=4096-"]
    assert data[3].sent_bytes == 4096
    assert data[4].sent_bytes == LENGTHS[1] - 4096
    delayed = [asked.fault is not None for asked in server.requests if asked.route == "metadata"]
    assert delayed == [False, True, True]


async def test_a_client_of_ones_own_that_resumes_asks_for_the_byte_after_the_cut() -> None:
    """The reference client of all this: ours."""
    cut: dict[str, Any] = {"export": "demo", "download": 2, "kind": "reset", "at": 100_000, "times": 3}
    async with MockServer(faults=[cut]) as server:
        report = await analyze("demo", url=server.url, retry=RetryPolicy(attempts=5, base_wait_s=0))
    assert report.account.rows == 18_784
    asked = [r for r in server.requests if r.route == "data" and r.download_id == SECOND.rpartition("/")[2]]
    assert len(asked) == 4
    assert {r.range for r in asked[1:]} <= {"bytes=100000-", None} | {f"bytes={n}-" for n in range(100_000)}
    assert asked[-1].status == 206


async def test_entries_take_turns_and_count_the_requests_of_each_download_by_themselves() -> None:
    from mockexport.server.kinds import Target

    faults = Faults(
        {"delay": 1.0},
        script=[
            {"kind": "refuse", "attempt": 2},
            {"kind": "html", "ranged": True, "times": "always"},
            {"kind": "cut", "at": 10, "attempt": 3, "download": "a"},
        ],
    )

    def kinds(download: str, *, ranged: bool, first: int = 0, count: int = 20) -> str:
        target = Target(download, "x", ranged=ranged, first=first, count=count, length=20)
        fault = faults.next(target)
        assert fault is not None
        return fault.kind

    for download in ("a", "b"):
        assert [kinds(download, ranged=False) for _ in range(2)] == ["delay", "refuse"]
        assert kinds(download, ranged=True) == "html"
    # The entry's byte is not among those asked for; then it is.
    assert kinds("a", ranged=False, first=11, count=9) == "delay"
    assert kinds("a", ranged=False) == "cut"
    assert kinds("a", ranged=False) == "delay"


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["refuse", "stall", "reset", "cut", "cut-chunked", "status", "html", "short-length"])
async def test_curl_sees_faults_at_every_route(route: str, kind: str) -> None:
    entry: dict[str, Any] = {"route": route, "kind": kind}
    if kind in AT_A_BYTE:
        entry["at"] = 20
    if kind == "status":
        entry |= {"status": 418}
    path = ROUTES[route].format(export="demo", download=FIRST.rpartition("/")[2])
    async with MockServer(faults=[entry]) as server:
        options = ("--max-time", "0.5") if kind == "stall" else ()
        code, out = await curl(*options, "--write-out", "%{http_code}", server.url + path)
        right = {"refuse": 56, "stall": 28, "reset": 56, "cut": 18, "cut-chunked": 18}.get(kind, 0)
        assert code in (right, 52 if kind == "refuse" else right)
        if kind == "status":
            assert out == b"418"
        if kind == "short-length":
            assert len(out) == 20 + 3
        code, out = await curl(server.url + path)
        assert code == 0
        assert len(out) > 20
    first, second = server.requests
    assert (first.route, second.route) == (route, route)
    assert first.fault is not None
    assert second.fault is None


async def test_a_stall_may_end_and_a_body_be_slow(tmp_path: Path) -> None:
    slow = [
        {"kind": "stall", "at": "50%", "seconds": 0.01, "export": "demo"},
        {"kind": "trickle", "at": 391_000, "seconds": 0.0001, "step": 100, "export": "demo"},
        {"kind": "slow-headers", "seconds": 0.0001, "step": 50, "export": "demo"},
    ]
    async with MockServer(faults=slow) as server:
        for _ in slow:
            code, out = await curl(f"{server.url}{FIRST}/data")
            assert (code, len(out)) == (0, LENGTHS[0])
    assert [r.fault.kind for r in server.requests if r.fault] == [entry["kind"] for entry in slow]


async def test_a_changed_tag_is_a_whole_reply_with_another_tag() -> None:
    entry = {"kind": "new-etag", "attempt": 2, "export": "demo"}
    async with MockServer(faults=[entry]) as server, aiohttp.ClientSession(server.url) as session:
        seen = []
        headers: dict[str, str] = {}
        for _ in range(3):
            async with session.get(f"{FIRST}/data", headers=headers) as reply:
                seen.append((reply.status, reply.headers["ETag"], len(await reply.read())))
            headers = {"Range": "bytes=100-", "If-Range": seen[-1][1]}
    assert [(status, length) for status, _, length in seen] == [
        (200, LENGTHS[0]), (200, LENGTHS[0]), (206, LENGTHS[0] - 100)
    ]  # fmt: skip
    assert seen[0][1] != seen[1][1] == seen[2][1]


@pytest.mark.parametrize("at", [0, 60, 200_000, 391_899, "50%"])
@pytest.mark.parametrize("kind", sorted(EDITS))
async def test_a_row_is_changed_where_the_script_says(kind: str, at: int | str) -> None:
    async with MockServer(faults=[{"kind": kind, "at": at, "export": "demo"}]) as server:
        (_, wrong), (_, right) = [await curl(f"{server.url}{FIRST}/data") for _ in range(2)]
    theirs, ours = wrong.split(b"\n"), right.split(b"\n")
    assert len(theirs) - len(ours) == {"few-rows": -1, "duplicate-row": 1}.get(kind, 0)
    place = next(i for i, (a, b) in enumerate(zip(theirs, ours, strict=False)) if a != b)
    byte = len(b"\n".join(ours[:place]))
    wanted = LENGTHS[0] // 2 if at == "50%" else int(at)
    assert abs(byte - wanted) < 250
    assert place > 0


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert len(Faults.read(script(tmp_path, "\ufeff" + WHOLE)).script) == 3


async def test_a_download_is_meant_in_every_way_to_write_its_id() -> None:
    always = {"route": "metadata", "download": 1, "kind": "status", "status": 503, "times": "always"}
    path, _, download_id = FIRST.rpartition("/")
    async with MockServer(faults=[{"export": "demo"} | always]) as server:
        for written in (download_id, download_id.upper(), download_id.replace("-", "")):
            _, out = await curl("--write-out", "%{http_code}", f"{server.url}{path}/{written}")
            assert out.endswith(b"503")
        assert {asked.download_id for asked in server.requests} == {download_id}


@pytest.mark.parametrize("at", [0, 100_000, 391_899])
async def test_a_gzip_body_is_cut_after_the_byte_that_the_script_names(at: int) -> None:
    async with MockServer(faults=[{"export": "demo", "download": 1, "kind": "cut-gzip", "at": at}]) as server:
        _, packed = await curl("--header", "Accept-Encoding: gzip", f"{server.url}{FIRST}/data")
    unpacker = zlib.decompressobj(wbits=31)
    assert len(unpacker.decompress(packed)) == at
    assert not unpacker.eof


def test_natural_mistakes_are_told() -> None:
    wrong: Any
    for wrong, told in (
        ({"kind": "cut", "at": 1}, "a script is a list of its entries"),
        ({"reset": "0.2"}, "reset: '0.2' is no probability"),
        ({"reset": 10**400}, "reset: 1000.*… is no probability"),
        ([{"kind": "delay", "seconds": 10**400}], "entry 1: seconds: must be a number from 0 to 86,400, and not 1000"),
        ([{"kind": "status", "status": 503, "retry_after": 10**5000}], "entry 1: retry_after: must be seconds"),
        ("reset=0.1,cut=0.2,reset=0.3", "'reset' is there twice"),
        (5, "must be text, a script or probabilities by kind, and not 5"),
        (["cut"], "entry 1: must be a table of keys and values, and not 'cut'"),
        ("faults.tml", "'faults.tml' is not KIND=P, with a probability P from 0 to 1, nor FILE.toml"),
    ):
        with pytest.raises(OptionError, match=told):
            MockServer(faults=wrong)


def test_every_kind_can_be_scripted_and_drawn() -> None:
    more: dict[str, dict[str, Any]] = {"status": {"status": 500}}
    for kind in KINDS:
        at = {"at": "10%"} if kind in AT_A_BYTE else {}
        faults = Faults({kind: 0.5}, script=[{"kind": kind} | at | more.get(kind, {})])
        assert kind in str(faults.script[0])


async def test_the_command_takes_a_file_and_its_page_tells_what_goes_wrong(run: Run, tmp_path: Path) -> None:
    wrong = script(tmp_path, "[[fault]]\nkind = 'boom'\n")
    ran = await asyncio.to_thread(run, "serve", "--port", "0", "--faults", str(wrong))
    assert ran.code == 2
    assert "faults.toml, entry 1: kind: no kind 'boom'" in ran.err
    probable = script(tmp_path, WHOLE + "[probabilities]\nreset = 0.1\n")
    async with MockServer(faults=str(probable), seed=3) as server:
        page = (await curl(server.url))[1].decode()
    for told in (
        "download 2: cut at byte 4,096, once", "download 1 of export demo: status 429, 2 times",
        "the metadata of each download of export demo: delay, always from request 2 on", "reset=0.1",
    ):  # fmt: skip
        assert told in page


async def test_scripted_faults_leave_ones_own_client_the_right_report() -> None:
    kinds = ("refuse", "stall", "reset", "cut-chunked", "no-range", "short-length", "slow-headers", "few-rows")
    entries: list[dict[str, Any]] = [
        *({"export": "demo", "kind": kind} | ({"at": 50_000} if kind in AT_A_BYTE else {}) for kind in kinds),
        *({"route": route, "kind": "status", "status": 503, "retry_after": 0} for route in ROUTES if route != "data"),
    ]
    faults = Faults({}, script=entries, drip_s=0.0001)
    async with MockServer(faults=faults) as server:
        policy = RetryPolicy(attempts=12, base_wait_s=0)
        report = await analyze("demo", url=server.url, retry=policy, limits=TimeLimits(stall_s=0.3))
    assert report.account.rows == 18_784
    assert not report.incomplete
