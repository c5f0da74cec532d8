"""Files by their names, compressed or not: every one once, whole or an error."""

import gzip
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from mockexport import Report, Statistics, analyze
from mockexport.errors import CheckpointError, FolderError, OptionError
from mockexport.model import VerdictKind
from mockexport.sources.files import Files
from mockexport.sources.folder import Folder
from tests.rows import HEADER

ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"
TABLE = HEADER + ROW * 3


def two_frames(data: bytes) -> bytes:
    """zstd as `zstd -c a b` writes it, with a skippable frame in front."""
    middle = len(data) // 2
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    return skippable + zstd.compress(data[:middle]) + zstd.compress(data[middle:])


PACKED = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "gzip of two members": lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]),
    "zstd": lambda data: zstd.compress(data, options={int(zstd.CompressionParameter.checksum_flag): 1}),
    "zstd of two frames": two_frames,
}


def count(report: Report[Statistics]) -> int:
    return report.totals["heart_rate"].count


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
async def test_what_a_file_holds_is_told_by_its_bytes_not_its_name(tmp_path: Path, packing: str, name: str) -> None:
    (tmp_path / name).write_bytes(PACKED[packing](TABLE))
    for options in ({"files": tmp_path / name}, {"folder": tmp_path}):
        report = await analyze(**options)  # type: ignore[arg-type]
        assert count(report) == 3
        assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.UNVERIFIABLE]


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
async def test_a_compressed_file_that_is_cut_off_or_damaged_fails(tmp_path: Path, packing: str) -> None:
    packed = PACKED[packing](TABLE * 50)
    for number, data in enumerate((packed[:-1], packed[:30], packed + b"junk", packed[:-6] + b"!!" + packed[-4:])):
        (tmp_path / f"{number}.csv").write_bytes(data)
    report = await analyze(folder=tmp_path)
    assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.FAILED] * 4
    assert not report.allowing_incomplete().patients


async def test_a_pattern_names_files_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("b/2.csv.gz", "a/3.csv", "a/1.csv", "other/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(TABLE)
    report = await analyze(files=str(tmp_path / "**" / "*.csv*"))
    assert [d.download_id for d in report.account.downloads] == ["a/1.csv", "a/3.csv", "b/2.csv.gz"]
    assert report.account.export_id == tmp_path.name
    report = await analyze(files=[tmp_path / "other" / "1.txt", tmp_path / "a" / "1.csv"])
    assert [d.download_id for d in report.account.downloads] == ["other/1.txt", "a/1.csv"]
    assert (await analyze(files=tmp_path / "b" / "2.csv.gz")).account.export_id == "2"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ("nothing-*.csv", "matches no file"),
        ("nothing.csv", "no such file"),
        ([], "matches no file"),
        (["."], "no file"),
    ],
)
async def test_what_is_not_there_is_an_error_that_names_it(files: Any, told: str) -> None:
    with pytest.raises(FolderError, match=told):
        await analyze(files=files)


async def test_the_same_data_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(TABLE))
    with pytest.raises(FolderError, match=r"same data as a\.csv"):
        await analyze(folder=tmp_path)
    with pytest.raises(FolderError, match="same data"):
        await analyze(files=str(tmp_path / "a.*"))
    (tmp_path / "b.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(FolderError, match="same data"):
        await analyze(files=[tmp_path / "a.csv", tmp_path / "b.csv"])
    assert count(await analyze(files=tmp_path / "a.csv.gz")) == 3


async def test_nothing_that_is_called_a_table_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "A.CSV").write_bytes(TABLE)
    (tmp_path / "b.csv").write_bytes(TABLE)
    (tmp_path / "c.csv").mkdir()
    for options in ({"folder": tmp_path}, {"files": str(tmp_path / "*")}):
        assert count(await analyze(**options)) == 6
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere")
    for options in ({"folder": tmp_path}, {"files": str(tmp_path / "*")}):
        with pytest.raises(FolderError, match=r"gone\.csv: is a link that leads nowhere"):
            await analyze(**options)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are UTF-8")
async def test_a_name_that_is_no_text_is_told_as_one(tmp_path: Path) -> None:
    name = os.fsdecode(b"ward\xff.csv")
    (tmp_path / name).write_bytes(TABLE)
    for options in ({"folder": tmp_path}, {"files": tmp_path / name}):
        report = await analyze(**options, checkpoint=tmp_path / "checkpoint")  # type: ignore[arg-type]
        assert [d.download_id for d in report.account.downloads] == ["ward\\xff.csv"]
        assert "\\xff" in report.account.to_json()
    (tmp_path / "ward\\xff.csv").write_bytes(TABLE)
    with pytest.raises(FolderError, match="cannot be told from"):
        await analyze(folder=tmp_path)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.csv.gz", b"", "no compressed file is"),
        ("a.csv", TABLE.decode().encode("utf-32"), "UTF-32"),
        ("a.csv", TABLE.decode().encode("utf-16") + b"x", "cut off inside a character"),
        ("a.csv", b"PK\x03\x04" + bytes(30), "a zip archive, to be unpacked first, or a workbook, to be saved as CSV"),
        ("a.csv", b"\xd0\xcf\x11\xe0" + bytes(30), "a workbook; save it as CSV"),
        ("a.csv.zst", zstd.compress(TABLE, zstd_dict=zstd.train_dict([b"%d,%d" % (n, n) for n in range(9999)], 999)),
         "dictionary"),
    ],
)  # fmt: skip
async def test_a_file_of_another_kind_fails_and_says_what_it_is(
    tmp_path: Path, name: str, data: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(data)
    (verdict,) = [d.verdict for d in (await analyze(folder=tmp_path)).account.downloads]
    assert verdict.kind is VerdictKind.FAILED
    assert told in str(verdict)


@pytest.mark.parametrize(("pattern", "save"), [("*.csv", "."), ("**/*.csv", "kept")])
async def test_files_are_not_kept_where_the_same_pattern_would_find_them_again(
    tmp_path: Path, pattern: str, save: str
) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE)
    with pytest.raises(OptionError, match="they would be there twice"):
        await analyze(files=str(tmp_path / pattern), save=tmp_path / save)
    assert not (tmp_path / save / "export.json").exists()
    await analyze(files=tmp_path / "a.csv", save=tmp_path / save)


async def test_a_checkpoint_of_files_that_were_written_to_since_is_refused(tmp_path: Path) -> None:
    data, checkpoint = tmp_path / "data", tmp_path / "checkpoint"
    data.mkdir()
    (data / "a.csv").write_bytes(TABLE)
    (data / "b.csv").write_bytes(b"no header")
    assert (await analyze(folder=data, checkpoint=checkpoint)).incomplete == ("b.csv",)
    assert (await analyze(folder=data, checkpoint=checkpoint)).incomplete == ("b.csv",)
    (data / "a.csv").write_bytes(TABLE.replace(b",72", b",73"))
    with pytest.raises(CheckpointError, match="no longer those"):
        await analyze(folder=data, checkpoint=checkpoint)


async def test_a_folder_without_tables_is_no_empty_report(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no data")
    with pytest.raises(FolderError, match=r"no file whose name ends in \.csv"):
        await analyze(folder=tmp_path)


async def test_files_are_one_of_several_ways_to_say_where(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="one of"):
        await analyze("x", files="x.csv", folder=tmp_path)


def test_files_are_plain_where_none_is_compressed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER)
    assert Files(tmp_path / "a.csv").is_plain
    assert Folder(tmp_path).is_plain
    (tmp_path / "b.csv.GZ").write_bytes(gzip.compress(HEADER))
    assert not Files(sorted(tmp_path.iterdir())).is_plain
    assert not Folder(tmp_path).is_plain
