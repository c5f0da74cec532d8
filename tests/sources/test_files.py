"""Files by their names, compressed or not: every one once, whole or an error."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from backports import zstd

from mockexport import FolderError, OptionError, Report, Statistics, VerdictKind, analyze
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
        report = await analyze(**options)  # type: ignore[call-overload]
        assert count(report) == 3
        assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.UNVERIFIABLE]


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
async def test_a_compressed_file_that_is_cut_off_or_damaged_fails(tmp_path: Path, packing: str) -> None:
    packed = PACKED[packing](TABLE * 50)
    for number, data in enumerate((packed[:-1], packed[:30], packed + b"junk", packed[:-6] + b"!!" + packed[-4:])):
        (tmp_path / f"{number}.csv").write_bytes(data)
    report = await analyze(folder=tmp_path)
    assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.FAILED] * 4
    assert not report.patients


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


async def test_a_folder_without_tables_is_no_empty_report(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no data")
    with pytest.raises(FolderError, match=r"no file whose name ends in \.csv"):
        await analyze(folder=tmp_path)


async def test_files_are_one_of_several_ways_to_say_where(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="one of"):
        await analyze("x", files="x.csv", folder=tmp_path)
