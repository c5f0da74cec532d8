"""The API's replies: read strictly where it matters, liberally where the contract says so."""

import msgspec
import pytest

from mockexport.formats.fields import parse_time
from mockexport.model import Download
from mockexport.sources.metadata import (
    DownloadMetadata,
    ExportContents,
    Reply,
    decode_json,
    format_api_time,
    is_json,
)


def test_metadata_becomes_the_models_download() -> None:
    metadata = DownloadMetadata(
        id="d",
        rows=2,
        event_types=("b", "a"),
        patients=("P2", "P1"),
        start_time="1970-01-01T00:00:01",
        end_time="1970-01-01T00:00:02.500000",
    )
    assert metadata.to_download(size_bytes=9) == Download("d", 2, ("b", "a"), ("P2", "P1"), 1_000_000, 2_500_000, 9)


def test_what_a_server_leaves_out_is_unknown_and_left_out_again() -> None:
    metadata = decode_json(b'{"id": "d", "colour": {"deep": [1]}}', DownloadMetadata)
    assert metadata.to_download() == Download("d")
    assert msgspec.json.encode(metadata) == b'{"id":"d"}'


def test_zero_rows_and_no_patients_are_something_else_than_unknown() -> None:
    metadata = decode_json(b'{"id": "d", "rows": 0, "patients": []}', DownloadMetadata)
    assert metadata.to_download() == Download("d", rows=0, patients=())
    assert msgspec.json.encode(metadata) == b'{"id":"d","rows":0,"patients":[]}'


def test_order_is_kept_as_announced() -> None:
    contents = decode_json(b'{"data": {"id": "e", "download_ids": ["b", "a"]}}', Reply[ExportContents])
    assert contents.data.download_ids == ("b", "a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"null",
        b"{}",
        b'{"data": null}',
        b'{"data": {"id": ""}}',
        b'{"data": {"id": 7}}',
        b'{"data": {"id": "d", "rows": -1}}',
        b'{"data": {"id": "d", "rows": 1.5}}',
        b'{"data": {"id": "d", "rows": true}}',
        b'{"data": {"id": "d", "rows": 1e400}}',
        b'{"data": {"id": "d", "rows": 9223372036854775808}}',
        b'{"data": {"id": "d", "patients": "P001"}}',
        b'{"data": {"id": "d\xff"}}',
        b'{"data": {"id": "d", "more": ' + b"[" * 100_000,
        b'{"data": {"id": "d"}} x',
    ],
)
def test_anything_else_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        decode_json(body, Reply[DownloadMetadata])
    assert "P001" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:00", 0),
        ("1970-01-01 00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.5", 500_000),
        ("1970-01-01T00:00:00.123456789", 123_456),
        ("2025-09-20T22:52:43.200000", 1_758_408_763_200_000),
        ("0001-01-01T00:00:00", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999", 253_402_300_799_999_999),
    ],
)
def test_a_time_is_read_as_utc(text: str, time_us: int) -> None:
    assert parse_time(text) == time_us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-08",
        "20250826T000000",
        "2025-W35-2T00:00:00",
        "2025-08-26T24:00:00",
        "2025-08-26T23:59:60",
        "2025-02-30T00:00:00",
        "0000-01-01T00:00:00",
        "2025-08-26T00:00:00.",
        "2025-08-26T00:00:00+99:00",
        "٢٠٢٥-08-26T00:00:00",
        "1756166400",
        "2025-08-26T00:00:00\n",
    ],
)
def test_what_is_no_time_of_the_calendar_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_time(text)


@pytest.mark.parametrize("text", ["2025-08-26T00:00:00", "2025-09-20T22:52:43.200000", "0001-01-01T00:00:00"])
def test_a_time_is_written_as_the_api_writes_it(text: str) -> None:
    assert format_api_time(parse_time(text)) == text


def test_a_download_that_ends_before_it_starts_is_a_value_error() -> None:
    metadata = DownloadMetadata(id="d", start_time="2025-01-02T00:00:00", end_time="2025-01-01T00:00:00")
    with pytest.raises(ValueError, match="before"):
        metadata.to_download()


@pytest.mark.parametrize("name", ["start_time", "end_time"])
def test_a_time_that_is_none_is_a_value_error_that_names_the_field(name: str) -> None:
    metadata = decode_json(f'{{"id": "d", "{name}": "26/08/2025"}}'.encode(), DownloadMetadata)
    with pytest.raises(ValueError, match=f"^{name} "):
        metadata.to_download()


def test_only_an_object_of_json_shows_its_own_end() -> None:
    assert is_json(b'\xef\xbb\xbf {"a": [1]}\n')
    for body in (b"", b"12", b"[1]", b'"a"', b'{"a": [1]', b'{"a": 1}}', b"http://host/a.csv\n", b"{" * 100_000):
        assert not is_json(body)
