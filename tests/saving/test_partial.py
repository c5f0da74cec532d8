"""Files that are gone on with in another run: no byte fetched twice, and never one that is not the server's.

A server on loopback sends of a body what a test lets it; the run fails there, or is killed, and another goes on.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockexport import MockServer, Report, RetryPolicy, analyze
from mockexport.errors import FolderError
from mockexport.events import Event, Kept, Resumed, StartedOver
from mockexport.model import VerdictKind
from tests.rows import HEADER
from tests.sources.raw import RawServer, raw_server

ROWS = 40
ONCE = RetryPolicy(attempts=1)
FILE, PARTIAL, NOTE = "00-d.csv", "00-d.csv.partial", "00-d.csv.partial.note"
WHOLE = {FILE, "export.json"}


def body(*, patient: str = "P001", value: int = 70) -> bytes:
    return HEADER + b"".join(
        f"{patient},2025-08-26T00:00:{number:02}Z,heart_rate,{value}\n".encode() for number in range(ROWS)
    )


BODY = body()
HALF = len(BODY) // 2


@dataclass
class Ward:
    """A server of one download. It breaks bodies off at byte `cut`, counted from the download's first."""

    content: bytes = BODY
    etag: str = '"a"'
    cut: int | None = None
    chunked: bool = False
    ranges: bool = True
    told: dict[str, Any] = field(default_factory=lambda: {"rows": ROWS, "patients": ["P001"]})
    asked: list[str] = field(default_factory=list)  # the ranges

    def answer(self, path: str, head: str, asked: int) -> bytes:
        match path.split("/")[3:]:
            case ["x"]:
                return self._json({"id": "x", "download_ids": ["d"]})
            case ["x", "d"]:
                return self._json({"id": "d", **self.told})
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
        first, end = 0, len(self.content)
        status, told = "200 OK", ""
        self.asked.append(fields.get("range", ""))
        if self.ranges and "range" in fields and fields.get("if-range") == self.etag:
            first = int(fields["range"].removeprefix("bytes=").removesuffix("-"))
            status, told = "206 Partial Content", f"Content-Range: bytes {first}-{end - 1}/{end}\r\n"
            if first >= end:
                return f"HTTP/1.1 416 No\r\nContent-Range: bytes */{end}\r\nContent-Length: 0\r\n\r\n".encode()
        part = self.content[first:]
        cut = part if self.cut is None else part[: max(0, self.cut - first)]
        tag = f"ETag: {self.etag}\r\n" if self.etag else ""
        if self.chunked:
            whole = b"%x\r\n%s\r\n" % (len(cut), cut) if cut else b""
            framed, cut = "Transfer-Encoding: chunked", whole + (b"0\r\n\r\n" if self.cut is None else b"")
        else:
            framed = f"Content-Length: {len(part)}"
        return (
            f"HTTP/1.1 {status}\r\nConnection: close\r\n{tag}{told}{framed}\r\n\r\n".encode(errors="surrogateescape")
            + cut
        )

    def _json(self, data: object) -> bytes:
        plain = json.dumps({"data": data}).encode()
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(plain), plain)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def noted_in(folder: Path) -> list[int]:
    """How many bytes the notes in a folder speak of."""
    return [json.loads(path.read_text())["file"]["bytes"] for path in folder.glob("*.note")]


async def begun(folder: Path, pattern: str) -> None:
    """Wait until there are two such files, and not empty."""
    while len([path for path in folder.glob(pattern) if path.stat().st_size]) < 2:  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.01)  # another process makes them


async def keep(server: RawServer, folder: Path, events: list[Event] | None = None, **options: Any) -> Report[Any]:
    listener = None if events is None else events.append
    report: Report[Any] = await analyze("x", url=server.url, save=folder, retry=ONCE, listener=listener, **options)
    return report


async def left_at(server: RawServer, ward: Ward, folder: Path, cut: int = HALF) -> None:
    """Let a run fail at a byte; more than one where a broken connection took bytes with it that it had brought."""
    ward.cut, noted = cut, [-1]
    while noted not in ([cut], []):
        report = await keep(server, folder)
        assert report.incomplete == ("d",)
        noted = noted_in(folder)
    ward.cut = None
    ward.asked.clear()


async def finished(server: RawServer, folder: Path, content: bytes = BODY, **options: Any) -> tuple[int, list[Event]]:
    """Let a run come to its end with the right file; return how many bytes it has fetched, and its events."""
    events: list[Event] = []
    report = await keep(server, folder, events, **options)
    (account,) = report.account.downloads
    assert account.verdict.kind in (VerdictKind.VERIFIED, VerdictKind.UNVERIFIABLE), account.verdict
    assert account.received_bytes == len(content)
    assert (folder / FILE).read_bytes() == content
    assert files(folder) == WHOLE
    again = await analyze(folder=folder)
    assert again.to_json() == report.to_json()
    return account.fetched_bytes, events


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, len(BODY) - 1), max_size=4), st.sampled_from(["kernel", "python"]))
def test_broken_off_anywhere_and_gone_on_with_the_folder_is_the_undisturbed_one(cuts: list[int], engine: str) -> None:
    async def work() -> None:
        with tempfile.TemporaryDirectory() as temporary:
            whole, folder, ward = Path(temporary, "whole"), Path(temporary, "folder"), Ward()
            async with raw_server(ward.answer) as server:
                await finished(server, whole)
                fetched = at = 0
                for cut in cuts:
                    ward.cut = max(at, cut)  # else it would be behind what there is already
                    (account,) = (await keep(server, folder, engine=engine)).account.downloads
                    fetched += account.fetched_bytes
                    at = ward.cut
                ward.cut = None
                rest, _ = await finished(server, folder, engine=engine)
            assert fetched + rest == len(BODY)
            for name in WHOLE:
                assert (folder / name).read_bytes() == (whole / name).read_bytes()

    asyncio.run(work())


async def test_the_resume_is_told_and_asks_for_the_rest_of_the_same_content(tmp_path: Path) -> None:
    ward = Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        assert files(tmp_path) == {PARTIAL, NOTE}
        assert {(tmp_path / name).stat().st_mode & 0o777 for name in (PARTIAL, NOTE)} == {0o600}
        fetched, events = await finished(server, tmp_path)
        assert ward.asked == [f"bytes={HALF}-"]
        assert fetched == len(BODY) - HALF
        told = [event for event in events if isinstance(event, Kept | Resumed | StartedOver)]
        assert told == [Kept("d", HALF, False), Resumed("d", HALF)]
        # And once more: of what is whole only the tag is asked for, and the account says so.
        fetched, events = await finished(server, tmp_path)
        assert (fetched, len(ward.asked)) == (0, 2)
        assert Kept("d", len(BODY), True) in events


async def test_all_bytes_are_there_and_only_the_end_was_missing(tmp_path: Path) -> None:
    ward = Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        noted = json.loads((tmp_path / NOTE).read_text())
        noted["file"] |= {"bytes": len(BODY), "sha256": hashlib.sha256(BODY).hexdigest()}
        (tmp_path / NOTE).write_text(json.dumps(noted))
        (tmp_path / PARTIAL).write_bytes(BODY)
        fetched, _ = await finished(server, tmp_path)
    assert (fetched, ward.asked) == (0, [f"bytes={len(BODY)}-"])


def damage(folder: Path, how: str) -> None:
    """Do to what a run has left what crashes, other programs and other people do."""
    partial, note = folder / PARTIAL, folder / NOTE
    noted = json.loads(note.read_text())
    match how:
        case "a torn tail":
            with partial.open("ab") as file:
                file.write(b"\0" * 5000)
        case "a flipped byte":
            data = bytearray(partial.read_bytes())
            data[HALF // 2] ^= 1
            partial.write_bytes(data)
        case "too short":
            os.truncate(partial, HALF - 1)
        case "no file":
            partial.unlink()
        case "no note":
            note.unlink()
        case "half a note":
            os.truncate(note, note.stat().st_size // 2)
        case "a link":
            partial.rename(folder.parent / "elsewhere")
            partial.symlink_to(folder.parent / "elsewhere")
        case "a note that is a link":
            note.rename(folder.parent / "elsewhere")
            note.symlink_to(folder.parent / "elsewhere")
        case "a pipe":
            partial.unlink()
            os.mkfifo(partial)
        case "beyond the total":
            noted["mark"]["total"] = HALF - 1
        case "a weak tag":
            noted["mark"]["etag"] = 'W/"a"'
        case "no total":
            noted["mark"]["total"] = None
        case "a tag that breaks the head":
            noted["mark"]["etag"] = '"a\r\nX: y"'
        case "other metadata":
            noted["file"]["rows"] = ROWS + 1
        case "another origin":
            noted["mark"]["origin"] = "http://elsewhere:80"
        case "another total":
            noted["mark"]["total"] += 1
    if noted != json.loads(note.read_text() if note.is_file() and how != "half a note" else json.dumps(noted)):
        note.write_text(json.dumps(noted))


@pytest.mark.parametrize(
    "how",
    [
        "a torn tail", "a flipped byte", "too short", "no file", "no note", "half a note", "a link",
        "a note that is a link", "a pipe", "beyond the total", "a weak tag", "no total", "a tag that breaks the head",
        "other metadata", "another origin", "another total",
    ],
)  # fmt: skip
async def test_what_is_left_damaged_costs_time_and_never_a_byte(tmp_path: Path, how: str) -> None:
    folder, ward = tmp_path / "folder", Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, folder)
        damage(folder, how)
        fetched, _ = await finished(server, folder)
        assert fetched == (len(BODY) - HALF if how == "a torn tail" else len(BODY))
    if (tmp_path / "elsewhere").exists():
        assert (tmp_path / "elsewhere").stat().st_nlink == 1
        assert (tmp_path / "elsewhere").read_bytes() != BODY


async def test_content_that_has_changed_since_is_fetched_from_its_first_byte(tmp_path: Path) -> None:
    ward = Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        ward.content, ward.etag = body(value=71), '"b"'
        fetched, events = await finished(server, tmp_path, ward.content)
    assert fetched == len(BODY)
    assert [event.reason for event in events if isinstance(event, StartedOver)] == ["the content has changed since"]
    assert not any(isinstance(event, Kept) for event in events)  # what was void was not even read


async def test_a_server_that_no_longer_resumes_begins_anew(tmp_path: Path) -> None:
    ward = Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        ward.ranges = False
        assert (await finished(server, tmp_path))[0] == len(BODY)


@pytest.mark.parametrize("before", [body(patient="P999"), BODY.replace(b"70\n", b"70 ", 1)], ids=["patient", "rows"])
async def test_what_does_not_fit_after_a_resume_is_fetched_anew_once(tmp_path: Path, before: bytes) -> None:
    """The server was not honest: other bytes under the same tag. The rest alone would be wrong for ever."""
    ward = Ward(content=before)
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        ward.content = BODY
        fetched, events = await finished(server, tmp_path)
        assert fetched == len(BODY) - HALF + len(BODY)
        assert sum(isinstance(event, StartedOver) for event in events) == 1
        # What does not fit from the first byte on is told, and not fetched a third time.
        ward.content, ward.told["rows"] = body(patient="P999"), ROWS
        (tmp_path / FILE).unlink()
        await left_at(server, ward, tmp_path)
        (account,) = (await keep(server, tmp_path)).account.downloads
        assert account.verdict.kind is VerdictKind.MISMATCH
        # The first is whether what was whole before still is the same.
        assert ward.asked == ["", f"bytes={HALF}-", ""]


async def test_a_download_that_came_to_its_end_and_failed_leaves_nothing(tmp_path: Path) -> None:
    ward = Ward(told={"rows": ROWS + 1})
    async with raw_server(ward.answer) as server:
        (account,) = (await keep(server, tmp_path)).account.downloads
        assert account.verdict.kind is VerdictKind.FAILED
        assert files(tmp_path) == set()
        await left_at(server, ward, tmp_path)
        assert files(tmp_path) == {PARTIAL, NOTE}
        (account,) = (await keep(server, tmp_path)).account.downloads
        assert account.verdict.kind is VerdictKind.FAILED
        assert ward.asked == [f"bytes={HALF}-", ""]
        assert files(tmp_path) == set()


async def test_a_header_that_was_wrong_fails_once_and_not_for_ever(tmp_path: Path) -> None:
    ward = Ward(content=b"xyz" + BODY[3:])
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path, cut=3)
        ward.content = BODY
        assert (await keep(server, tmp_path)).incomplete == ("d",)
        assert files(tmp_path) == set()
        assert (await finished(server, tmp_path))[0] == len(BODY)


async def test_a_server_that_is_away_costs_nothing_of_what_there_is(tmp_path: Path) -> None:
    ward = Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        before = contents(tmp_path)
        ward.cut = 0
        assert (await keep(server, tmp_path)).incomplete == ("d",)
        ward.cut = None
        assert contents(tmp_path) == before
        assert (await finished(server, tmp_path))[0] == len(BODY) - HALF


@pytest.mark.parametrize(
    "ward",
    [Ward(etag=""), Ward(etag='W/"a"'), Ward(etag='"\udcff"'), Ward(chunked=True)],
    ids=["none", "weak", "no UTF-8", "long"],
)
async def test_without_a_strong_tag_and_a_length_nothing_is_left(tmp_path: Path, ward: Ward) -> None:
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        assert files(tmp_path) == set()
        assert (await finished(server, tmp_path))[0] == len(BODY)


async def test_without_metadata_the_servers_tag_is_what_counts(tmp_path: Path) -> None:
    ward = Ward(told={})
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        assert (await finished(server, tmp_path))[0] == len(BODY) - HALF


async def test_another_exports_part_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    ward = Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        noted = json.loads((tmp_path / NOTE).read_text())
        (tmp_path / NOTE).write_text(json.dumps(noted | {"export_id": "y"}))
        with pytest.raises(FolderError, match="holds the export 'y'"):
            await keep(server, tmp_path)
        assert files(tmp_path) == {PARTIAL, NOTE}


async def test_a_run_that_ended_well_leaves_no_part_not_even_anothers(tmp_path: Path) -> None:
    ward = Ward()
    async with raw_server(ward.answer) as server:
        await left_at(server, ward, tmp_path)
        for name in (PARTIAL, NOTE):  # of a download that the export has no more; and killed while it was noted
            (tmp_path / name).rename(tmp_path / name.replace("00-d", "07-gone"))
        (tmp_path / f"{NOTE}.partial").touch()
        (tmp_path / PARTIAL).touch()
        await finished(server, tmp_path)


async def test_a_run_that_is_cancelled_anywhere_leaves_what_another_goes_on_from(tmp_path: Path) -> None:
    ward, kept = Ward(), 0
    async with raw_server(ward.answer) as server:
        for steps in range(0, 300, 6):
            folder = tmp_path / str(steps)
            await left_at(server, ward, folder)
            run = asyncio.create_task(keep(server, folder))
            for _ in range(steps):
                await asyncio.sleep(0)
            run.cancel()
            await asyncio.sleep(0)
            run.cancel()  # an impatient user's second Ctrl-C
            await asyncio.wait([run])
            assert FILE in files(folder) or {PARTIAL, NOTE} <= files(folder), steps  # it may have been whole just then
            kept += NOTE in files(folder)
            fetched, _ = await finished(server, folder)
            assert fetched <= len(BODY) - HALF
    assert kept > 5


CHILD = """
import asyncio, sys
from mockexport import ExportApi, Pipeline, RetryPolicy, Summary
from mockexport.saving.source import Saving

async def main(url, folder):
    async with ExportApi(url, retry=RetryPolicy(attempts=1)) as api:
        await Pipeline(Saving(api, folder, note_every_s=0), Summary()).run("demo")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
async def test_a_process_that_is_killed_leaves_what_another_goes_on_from(tmp_path: Path, how: signal.Signals) -> None:
    """By kill -9 the library, which notes often here; by Ctrl-C the command, which then says how to go on."""
    async with MockServer(faults="stall=1", seed=7) as server:
        command = ["-c", CHILD, server.url, str(tmp_path)]
        if how is not signal.SIGKILL:
            command = ["-m", "mockexport", "download", "demo", str(tmp_path), "--url", server.url]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        await begun(tmp_path, "*.note" if how is signal.SIGKILL else "*.partial")
        process.send_signal(how)
        _, told = await process.communicate()
        if how is not signal.SIGKILL:
            assert process.returncode == (130 if how is signal.SIGINT else 143)
            assert b"are kept in" in told
            assert b"the same command again goes on from there" in told
            assert b"Traceback" not in told
        server.faults.probabilities.clear()
        noted = sum(noted_in(tmp_path))
        report = await analyze("demo", url=server.url, save=tmp_path)
        whole = await analyze("demo", url=server.url)
    assert noted > 0
    fetched = sum(account.fetched_bytes for account in report.account.downloads)
    assert noted + fetched == sum(account.received_bytes for account in whole.account.downloads)
    assert report.to_json() == whole.to_json() == (await analyze(folder=tmp_path)).to_json()
    assert sorted(Path(name).suffix for name in files(tmp_path)) == [".csv", ".csv", ".json"]
