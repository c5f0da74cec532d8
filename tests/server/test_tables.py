"""Tables of one's own as exports: announced as they are, served from disk, and nothing beside them."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from mockexport import MockServer, Schema, analyze
from mockexport.errors import FolderError, OptionError
from mockexport.model import VerdictKind
from mockexport.server.folder import generate
from mockexport.server.tables import table_exports
from tests.server.test_tls import curl

HEADER = "patient_id,event_time,event_type,value\n"
MORNING = f"""{HEADER}A,2025-01-01T08:00:00Z,pulse,61
B,2025-01-01T08:00:01.500000Z,pulse,
A,2025-01-01T09:00:00Z,spo2,97
"""
NOON = HEADER + "A,2025-01-01T12:00:00Z,pulse,60\nC,2025-01-01T12:30:00Z,pulse,x\n"


@pytest.fixture
def ward(tmp_path: Path) -> Path:
    folder = tmp_path / "ward"
    folder.mkdir()
    (folder / "1-morning.csv").write_text(MORNING)
    (folder / "2-noon.csv").write_text(NOON)
    (folder / "README.txt").write_text("no table")
    (folder / ".hidden.csv").write_text("no table")
    return folder


async def told(url: str) -> dict[str, object]:
    code, out = await curl(url)
    assert code == 0
    data: dict[str, object] = json.loads(out)["data"]
    return data


async def test_curl_finds_what_the_files_hold_announced_and_their_bytes_whole_and_in_parts(ward: Path) -> None:
    async with MockServer(exports={"ward": ward}) as server:
        assert await told(server.url + "/api/export") == {"export_ids": ["ward"]}
        listed = (await told(server.url + "/api/export/ward"))["download_ids"]
        assert isinstance(listed, list)
        first, second = (await told(f"{server.url}/api/export/ward/{i}") for i in listed), None
        announced = [metadata async for metadata in first]
        assert announced[0] == {
            "id": listed[0], "rows": 3, "event_types": ["pulse", "spo2"], "patients": ["A", "B"],
            "start_time": "2025-01-01T08:00:00", "end_time": "2025-01-01T09:00:00.000001",
        }  # fmt: skip
        assert announced[1]["rows"] == 2  # bad rows are rows
        assert second is None
        data = f"{server.url}/api/export/ward/{listed[0]}/data"
        assert (await curl(data))[1] == MORNING.encode()
        assert (await curl("--range", "10-19", data))[1] == MORNING.encode()[10:20]
        assert (await curl("--range", "-5", data))[1] == MORNING.encode()[-5:]
        _, out = await curl("--range", f"{len(MORNING)}-", "--write-out", "%{http_code}", data)
        assert out.endswith(b"416")
        _, head = await curl("--head", data)
        digest = hashlib.sha256(MORNING.encode()).hexdigest()
        assert f'Etag: "{digest}"'.encode() in head
        assert f"Content-Length: {len(MORNING)}".encode() in head


async def test_ones_own_client_verifies_them(ward: Path) -> None:
    (ward / "2-noon.csv").write_text(NOON.replace(",x", ",62"))
    async with MockServer(exports={"ward": ward}) as server:
        report = await analyze("ward", url=server.url)
    assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.VERIFIED] * 2
    assert report.account.rows == 5


async def test_ids_stay_the_same_when_tables_come_and_go(ward: Path) -> None:
    before = [*(await table_exports({"ward": ward}))["ward"]]
    (ward / "0-night.csv").write_text(HEADER)
    after = [*(await table_exports({"ward": str(ward)}))["ward"]]
    assert after[1:] == before
    assert [*(await table_exports({"other": ward}))["other"]][1:] != before


async def test_files_are_named_one_by_one_and_described(ward: Path, tmp_path: Path) -> None:
    table = tmp_path / "own.txt"
    table.write_text("when;who;what;how much\n01.02.2025 08:00;A;pulse;61,5\n")
    schema = Schema(
        event_time="when", patient_id="who", event_type="what", value="how much", delimiter=";",
        time_formats=("%d.%m.%Y %H:%M",), decimal=",",
    )  # fmt: skip
    offers = (await table_exports({"own": [table]}, schema))["own"]
    [offer] = offers.values()
    assert (offer.metadata.rows, offer.metadata.start_time) == (1, "2025-02-01T08:00:00")
    with pytest.raises(FolderError, match=r"own\.txt: is no table as it is described \(--like, schema\): .*header"):
        await table_exports({"own": table})
    both = await table_exports({"ward": [ward / "1-morning.csv", ward / "2-noon.csv"], "noon": ward / "2-noon.csv"})
    assert {name: len(offers) for name, offers in both.items()} == {"ward": 2, "noon": 1}


async def test_a_folder_with_a_listing_is_as_that_says_under_the_name_given(tmp_path: Path, ward: Path) -> None:
    generate("demo", tmp_path / "kept")
    async with MockServer(data=tmp_path / "kept", exports={"again": tmp_path / "kept", "ward": ward}) as server:
        assert (await told(server.url + "/api/export"))["export_ids"] == ["demo", "again", "ward"]
        report = await analyze("again", url=server.url)
        assert report.account.rows == 18_784
    with pytest.raises(FolderError, match="holds an export 'demo', too"):
        async with MockServer(data=tmp_path / "kept", exports={"demo": ward}):
            pass


@pytest.mark.parametrize("name", ["", "a/b", "..", ".x", "a b", "é", "x" * 129, "a\n", "%2e%2e"])
async def test_names_that_could_be_more_than_a_name_are_refused(name: str, ward: Path) -> None:
    with pytest.raises(OptionError, match=r"export: .* is no name of letters, digits"):
        await table_exports({name: ward})


async def test_nothing_outside_the_folder_is_served(ward: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(MORNING)
    link = ward / "3-link.csv"
    for to, problem in (
        (secret, "is a link that leads out of the folder"),
        ("nowhere", "cannot be read: "),
        (link.name, "cannot be read: "),
        (None, "is not a regular file"),
    ):
        if to is None:
            os.mkfifo(link)
        else:
            link.symlink_to(to)
        with pytest.raises(FolderError, match=rf"3-link\.csv: {problem}"):
            await table_exports({"ward": ward})
        link.unlink()
    link.symlink_to("1-morning.csv")  # within it
    async with MockServer(exports={"ward": ward}) as server:
        listed = (await told(server.url + "/api/export/ward"))["download_ids"]
        assert isinstance(listed, list)
        assert len(listed) == 3
        for path in ("../secret.csv", "..%2fsecret.csv", "1-morning.csv", "%2e%2e/%2e%2e/etc/passwd"):
            _, out = await curl("--path-as-is", f"{server.url}/api/export/ward/{path}/data")
            assert b"2025" not in out
        # What takes a file's place later is not served either.
        (ward / "1-morning.csv").unlink()
        (ward / "1-morning.csv").symlink_to(secret)
        _, out = await curl("--write-out", "%{http_code}", f"{server.url}/api/export/ward/{listed[0]}/data")
        assert out.endswith(b"500")
    for wrong in (tmp_path / "nowhere", Path("/dev/zero"), Path("a\0b")):
        with pytest.raises(FolderError):
            await table_exports({"x": wrong})


async def test_hostile_names_of_folders_and_files_are_names(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, name in enumerate(["a b", "=;&", "--faults", "\x1b[2J\n", "\udcff", "<script>", "x" * 200]):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name[:100]}.csv").write_text(MORNING)
        async with MockServer(exports={f"n{number}": folder}) as server:
            listed = (await told(f"{server.url}/api/export/n{number}"))["download_ids"]
            assert isinstance(listed, list)
            assert (await curl(f"{server.url}/api/export/n{number}/{listed[0]}/data"))[1] == MORNING.encode()
            assert b"<script>" not in (await curl(server.url))[1]
        (folder / f"{name[:100]}.csv").write_text("no table")
        with pytest.raises(FolderError) as raised:
            await table_exports({"x": folder})
        assert "\x1b" not in str(raised.value)
        str(raised.value).encode()


async def test_tables_that_cannot_be_told_apart_or_are_none_are_told(ward: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="comes twice in export ward"):
        await table_exports({"ward": [ward, ward / "2-noon.csv"]})
    (tmp_path / "empty").mkdir()
    with pytest.raises(FolderError, match=r"holds no file whose name ends in \.csv, and no export\.json"):
        await table_exports({"x": tmp_path / "empty"})
    with pytest.raises(OptionError, match="x has no tables"):
        await table_exports({"x": []})


async def test_what_a_client_may_stumble_over_is_told(ward: Path, caplog: pytest.LogCaptureFixture) -> None:
    (ward / "3-more.csv").write_text(MORNING)
    with caplog.at_level("INFO"):
        await table_exports({"ward": ward})
    assert "export ward: its downloads overlap in time, which the API rules out; a client may say so" in caplog.messages
    assert f"{ward}: 1 other entries are passed over: tables end in .csv" in caplog.messages
    assert f"{ward / '2-noon.csv'}: 1 of its 2 rows are bad; they are served as they are" in caplog.messages


async def test_faults_name_a_table_by_its_file_or_place(ward: Path) -> None:
    entries = [
        {"export": "ward", "download": "2-noon.csv", "kind": "cut", "at": 40},
        {"export": "ward", "download": 1, "kind": "bad-row", "at": len(HEADER) + 5},
    ]
    async with MockServer(exports={"ward": ward}, faults=entries) as server:
        listed = (await told(server.url + "/api/export/ward"))["download_ids"]
        assert isinstance(listed, list)
        code, out = await curl(f"{server.url}/api/export/ward/{listed[1]}/data")
        assert (code, len(out)) == (18, 40)
        _, out = await curl(f"{server.url}/api/export/ward/{listed[0]}/data")
        assert out.decode() == MORNING.replace(",61\n", ",oops\n")
    with pytest.raises(OptionError, match="at: byte 400 is beyond the end; there are"):
        async with MockServer(exports={"ward": ward}, faults=[{"kind": "cut", "at": 400}]):
            pass


@pytest.mark.parametrize("kind", ["cut", "few-rows", "cut-gzip", "no-range"])
async def test_a_table_that_has_changed_is_an_error_whatever_fault_was_to_happen(
    kind: str, ward: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fault = {"kind": kind} | ({} if kind == "no-range" else {"at": 100})
    async with MockServer(exports={"ward": ward}, faults=[fault]) as server:
        listed = (await told(server.url + "/api/export/ward"))["download_ids"]
        assert isinstance(listed, list)
        (ward / "1-morning.csv").write_text(MORNING[:-20])
        data = f"{server.url}/api/export/ward/{listed[0]}/data"
        _, out = await curl("--range", "0-200", "--write-out", "%{http_code}", data)
    assert out == b'{"detail": "The file has changed since the server started"}500'
    assert "a handler failed" not in caplog.text
    assert server.requests[-1].fault is None


async def test_a_time_that_no_end_can_follow_is_told(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text(HEADER + "A,9999-12-31T23:59:59.999999Z,pulse,61\n")
    with pytest.raises(FolderError, match="last microsecond of year 9999"):
        await table_exports({"ward": table})


def test_tables_are_served_by_event_loops_without_sendfile(ward: Path) -> None:
    class Loop(asyncio.SelectorEventLoop):
        async def sendfile(self, *_: object, **__: object) -> int:
            raise NotImplementedError

    async def main() -> None:
        async with MockServer(exports={"ward": ward}) as server:
            listed = (await told(server.url + "/api/export/ward"))["download_ids"]
            assert isinstance(listed, list)
            assert (await curl(f"{server.url}/api/export/ward/{listed[0]}/data"))[1] == MORNING.encode()

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(main())


async def test_a_hundred_clients_at_once_get_every_byte_from_disk(tmp_path: Path) -> None:
    row = "A,2025-01-01T08:00:00Z,pulse,61\n"
    table = tmp_path / "long.csv"
    table.write_text(HEADER + row * 20_000)
    wanted = hashlib.sha256(table.read_bytes()).hexdigest()
    async with MockServer(exports={"long": table}, tls=False) as server:
        listed = (await told(server.url + "/api/export/long"))["download_ids"]
        assert isinstance(listed, list)
        url = f"{server.url}/api/export/long/{listed[0]}/data"

        async def fetched(session: aiohttp.ClientSession) -> str:
            async with session.get(url) as reply:
                return hashlib.sha256(await reply.read()).hexdigest()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            digests = await asyncio.gather(*(fetched(session) for _ in range(100)))
    assert set(digests) == {wanted}
    sent = [asked.sent_bytes for asked in server.requests if asked.route == "data"]
    assert sent == [table.stat().st_size] * 100


@pytest.mark.timeout(180)
def test_the_command_serves_them_until_ctrl_c(ward: Path, tmp_path: Path) -> None:
    shutil.copytree(ward, tmp_path / "copy")
    command = [
        sys.executable, "-m", "mockexport", "serve", "--port", "0", "--export", f"ward={ward}",
        "--export", f"ward={tmp_path / 'copy' / '1-morning.csv'}",
    ]  # fmt: skip
    refused = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert refused.returncode == 5
    assert "1-morning.csv: comes twice in export ward" in refused.stderr
    for words, problem in (
        (["--export", "ward"], "export: 'ward' is not NAME=FOLDER"),
        (["--export", "a/b=x"], "export: 'a/b' is no name"),
    ):
        refused = subprocess.run([*command[:4], "--port", "0", *words], capture_output=True, text=True, timeout=100)
        assert refused.returncode == 2
        assert problem in refused.stderr
    with subprocess.Popen(command[:8], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        listed = subprocess.run(["curl", "-s", url + "/api/export"], capture_output=True, text=True, timeout=50)
        assert listed.stdout == '{"data":{"export_ids":["ward"]}}'
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=50)
    assert process.returncode == 130
    assert f"serving ward={ward}; Ctrl-C ends it" in err
    assert "Traceback" not in err
