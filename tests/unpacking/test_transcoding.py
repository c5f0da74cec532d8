"""UTF-16 is read as what it says, by its mark, in whatever pieces it comes."""

import asyncio
import gzip
from pathlib import Path

import pytest

from mockexport import analyze
from mockexport.unpacking.gunzip import Gunzip
from mockexport.unpacking.transcoding import InsideUtf16, Utf16
from tests.rows import HEADER

TABLE = HEADER.decode() + "Jörg,2025-08-26T00:00:00Z,spo2,97\n病人🙂,2025-08-26T00:00:01Z,spo2,98\n"
MARKED = "\ufeff" + TABLE


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_text_in_either_order_comes_out_as_utf_8_however_it_is_cut(encoding: str) -> None:
    data = ("\ufeff" + TABLE).encode(encoding)
    decoder = Utf16()
    made = b"".join(part for at in range(len(data)) for part in decoder.feed(data[at : at + 1]))
    decoder.finish()
    assert made == TABLE.encode()


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_table_in_utf_16_gives_the_report_of_the_same_in_utf_8(tmp_path: Path, encoding: str) -> None:
    reports = []
    for data in (TABLE.encode(), ("\ufeff" + TABLE).encode(encoding)):
        (tmp_path / "a.csv").write_bytes(data)
        reports.append(asyncio.run(analyze(files=tmp_path / "a.csv")).to_json())
    assert reports[0] == reports[1]


@pytest.mark.parametrize("data", [*(MARKED.encode(f"utf-16-{order}") for order in ("le", "be")), TABLE.encode(), b"x"])
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_what_is_compressed_may_be_utf_16(data: bytes, size: int) -> None:
    decoder, packed = InsideUtf16(Gunzip()), gzip.compress(data)
    made = b"".join(part for at in range(0, len(packed), size) for part in decoder.feed(packed[at : at + size]))
    decoder.finish()
    assert made == (TABLE.encode() if len(data) > 1 else data)


def test_half_a_pair_spoils_its_own_row_alone(tmp_path: Path) -> None:
    spoilt = TABLE.encode("utf-16").replace("🙂".encode("utf-16-le"), b"\x3d\xd8")
    (tmp_path / "a.csv").write_bytes(spoilt)
    report = asyncio.run(analyze(files=tmp_path / "a.csv", max_bad="100%"))
    (download,) = report.account.downloads
    assert download.bad_rows == {"not UTF-8": 1}
    assert download.rows == 2
