"""Keeping files in the same pass: whole or not at all, not fetched twice, and a part never passes for the whole."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mockexport import Download, analyze
from mockexport.errors import FolderError, OptionError, OutputError
from mockexport.model import VerdictKind
from mockexport.server.folder import generate
from mockexport.sources.scripted import Fail, Scripted, Step
from tests.rows import HEADER

ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"
A, B = (
    Download("a", rows=1, start_us=0, end_us=2 * 10**15),
    Download("b", rows=1, start_us=2 * 10**15, end_us=3 * 10**15),
)


def source(**changed: list[list[Step]]) -> Scripted:
    scripts: dict[str, list[list[Step]]] = {"a": [[HEADER, ROW]], "b": [[HEADER + ROW.replace(b"2025", b"2050")]]}
    scripts |= changed
    return Scripted("x", {A: scripts["a"], B: scripts["b"]})


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


WHOLE = {"00-a.csv", "01-b.csv", "export.json"}


async def test_saved_files_are_the_bytes_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    report = await analyze("x", source=source(), save=folder)
    assert report.incomplete == ()
    assert files(folder) == WHOLE
    assert (folder / "00-a.csv").read_bytes() == HEADER + ROW
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o700
    again = await analyze(folder=folder)
    assert again.to_json() == report.to_json()
    assert [d.verdict.kind for d in again.account.downloads] == [VerdictKind.VERIFIED] * 2


async def test_a_saved_export_is_the_generated_folder(tmp_path: Path) -> None:
    generate("demo", tmp_path / "made")
    await analyze(folder=tmp_path / "made", save=tmp_path / "kept")
    for path in (tmp_path / "made").iterdir():
        assert (tmp_path / "kept" / path.name).read_bytes() == path.read_bytes()


async def test_what_is_there_and_verified_is_not_fetched_again(tmp_path: Path) -> None:
    first = await analyze("x", source=source(), save=tmp_path)
    asked_again = source()
    second = await analyze("x", source=asked_again, save=tmp_path)
    assert asked_again.asked == {}
    assert second.to_json() == first.to_json()
    assert files(tmp_path) == WHOLE


@pytest.mark.parametrize("fault", ["changed", "missing", "short"])
async def test_a_kept_file_that_is_not_what_was_noted_is_fetched_again(tmp_path: Path, fault: str) -> None:
    first = await analyze("x", source=source(), save=tmp_path)
    path = tmp_path / "00-a.csv"
    match fault:
        case "changed":
            path.write_bytes(path.read_bytes().replace(b",72", b",73"))
        case "missing":
            path.unlink()
        case "short":
            path.write_bytes(path.read_bytes()[:-1])
    again = source()
    second = await analyze("x", source=again, save=tmp_path)
    assert again.asked == {"a": 1}
    assert second.to_json() == first.to_json()
    assert path.read_bytes() == HEADER + ROW


async def test_a_part_of_an_export_is_marked_and_completed_later(tmp_path: Path) -> None:
    broken = source(b=[[Fail("gone", passing=False)]])
    report = await analyze("x", source=broken, save=tmp_path)
    assert report.incomplete == ("b",)
    assert files(tmp_path) == {"00-a.csv", "unfinished.ndjson"}
    with pytest.raises(FolderError, match="not finished"):
        await analyze(folder=tmp_path)
    whole = source()
    report = await analyze("x", source=whole, save=tmp_path)
    assert whole.asked == {"b": 1}
    assert report.incomplete == ()
    assert files(tmp_path) == WHOLE


async def test_an_attempt_that_breaks_off_leaves_no_byte_in_the_file(tmp_path: Path) -> None:
    restarted = source(a=[[HEADER + ROW + b"half a r", Fail("cut")], [HEADER], [HEADER + ROW]])
    await analyze("x", source=restarted, save=tmp_path)
    assert restarted.asked["a"] == 3
    assert (tmp_path / "00-a.csv").read_bytes() == HEADER + ROW


async def test_a_mismatch_is_kept_told_and_fetched_again_next_time(tmp_path: Path) -> None:
    odd = source(a=[[HEADER + ROW + ROW]])
    report = await analyze("x", source=odd, save=tmp_path)
    assert report.incomplete == ("a",)
    listing = json.loads((tmp_path / "export.json").read_text())
    assert [download.get("verdict") for download in listing["downloads"]] == ["mismatch", None]
    again = source()
    await analyze("x", source=again, save=tmp_path)
    assert again.asked == {"a": 1}


async def test_another_exports_folder_is_refused(tmp_path: Path) -> None:
    generate("demo", tmp_path)
    with pytest.raises(FolderError, match="holds the export 'demo'"):
        await analyze("x", source=source(), save=tmp_path)


async def test_a_folder_that_cannot_be_written_ends_the_run_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    played = source()
    with pytest.raises(OutputError, match="file"):
        await analyze("x", source=played, save=tmp_path / "file" / "deeper")
    assert played.open == 0


async def test_a_run_that_is_cancelled_anywhere_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    for steps in range(60):
        folder = tmp_path / str(steps)
        run = asyncio.create_task(analyze("x", source=source(), save=folder, engine="python"))
        for _ in range(steps):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.sleep(0)
        run.cancel()  # an impatient user's second Ctrl-C
        await asyncio.wait([run])
        assert not list(folder.glob("*.partial"))


async def test_two_runs_into_one_folder_do_not_collide(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> int:
        script: list[Step] = [HEADER, go_on, ROW]
        return len(
            (await analyze("x", source=source(a=[script]), save=tmp_path, listener=lambda _: begun.set())).incomplete
        )

    running = asyncio.create_task(first())
    await begun.wait()
    with pytest.raises(OutputError, match="another run is keeping files in it"):
        await analyze("x", source=source(), save=tmp_path)
    go_on.set()
    assert await running == 0
    assert files(tmp_path) == WHOLE
    await analyze("x", source=source(), save=tmp_path)  # the claim has ended with the run


async def test_a_run_that_ends_in_an_error_lets_the_next_one_in(tmp_path: Path) -> None:
    await analyze("x", source=source(), save=tmp_path)
    other = Scripted("y", {A: [[HEADER, ROW]]})
    with pytest.raises(FolderError, match="holds the export"):
        await analyze("y", source=other, save=tmp_path)
    assert (await analyze("x", source=source(), save=tmp_path)).incomplete == ()


async def test_compressed_files_are_kept_as_the_tables_they_hold(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ward.csv.gz").write_bytes(gzip.compress(HEADER + ROW))
    report = await analyze(folder=tmp_path / "in", save=tmp_path / "kept")
    assert files(tmp_path / "kept") == {"00-ward.csv", "export.json"}
    assert (tmp_path / "kept" / "00-ward.csv").read_bytes() == HEADER + ROW
    assert (await analyze(folder=tmp_path / "kept")).to_json() == report.to_json()


async def test_what_is_read_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + ROW)
    with pytest.raises(OptionError, match="is the folder that is read"):
        await analyze(folder=tmp_path, save=tmp_path / ".")
    assert files(tmp_path) == {"a.csv"}


@pytest.mark.parametrize("dangling", [True, False])
@pytest.mark.parametrize("name", ["00-a.csv", "00-a.csv.partial", "export.json", "export.json.partial"])
async def test_links_in_the_folder_are_replaced_and_not_followed(tmp_path: Path, name: str, dangling: bool) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "kept"
    folder.mkdir()
    (folder / name).symlink_to(elsewhere)
    if not dangling and name != "export.json":  # which would be read
        elsewhere.write_bytes(b"mine")
    await analyze("x", source=source(), save=folder)
    assert files(folder) == WHOLE
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert not elsewhere.exists() or elsewhere.read_bytes() == b"mine"


@pytest.mark.parametrize("save_format", ["csv", "parquet"])
async def test_a_folder_that_is_a_link_to_nowhere_is_not_made_there(tmp_path: Path, save_format: Any) -> None:
    (tmp_path / "kept").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="a link that leads nowhere"):
        await analyze("x", source=source(), save=tmp_path / "kept", save_format=save_format)
    assert not (tmp_path / "elsewhere").exists()


async def test_the_notes_of_a_broken_off_run_are_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "unfinished.ndjson").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"unfinished\.ndjson: it is a link, which is not followed"):
        await analyze("x", source=source(), save=tmp_path / "kept")
    assert not (tmp_path / "elsewhere").exists()
