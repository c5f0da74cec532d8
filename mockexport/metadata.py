"""The export API's replies as typed values: what the server writes, what the client reads, what `export.json` holds.

Rules: JSON and its checks live here and nothing else: no files, no sockets. Unknown extra keys are ignored. What a
foreign server may leave out is None, and is left out again when written. Order is kept as it was announced.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Generic, TypeVar

import msgspec

from mockexport.model import Download

__all__ = [
    "DownloadMetadata",
    "ExportContents",
    "ExportList",
    "Reply",
    "decode_json",
    "format_api_time",
    "parse_api_time",
]

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_US = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
LAST_US = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)

# What 64 bits can count: everything later may rely on it.
MAX_ROWS = 2**63 - 1

# `fromisoformat` alone would take week dates, missing separators and, from Python 3.13 on, 24:00.
API_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ](?:[01]\d|2[0-3]):\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})?", re.ASCII
)


class DownloadMetadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the API tells of one download; only the id is sure to be there."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    rows: Annotated[int, msgspec.Meta(ge=0, le=MAX_ROWS)] | None = None
    event_types: tuple[str, ...] | None = None
    patients: tuple[str, ...] | None = None
    start_time: str | None = None
    end_time: str | None = None

    def to_download(self, *, size_bytes: int | None = None) -> Download:
        """Return the model's value for this download.

        Raises:
            ValueError: a time cannot be read, or the download ends before it starts. (The caller knows the URL or the
                path that its own error should name.)
        """
        return Download(
            self.id,
            rows=self.rows,
            event_types=None if self.event_types is None else frozenset(self.event_types),
            patients=None if self.patients is None else frozenset(self.patients),
            start_us=None if self.start_time is None else parse_api_time(self.start_time),
            end_us=None if self.end_time is None else parse_api_time(self.end_time),
            size_bytes=size_bytes,
        )


class ExportList(msgspec.Struct, frozen=True):
    """`GET /api/export`: the exports there are."""

    export_ids: tuple[str, ...]


class ExportContents(msgspec.Struct, frozen=True):
    """`GET /api/export/{export_id}`: an export's downloads, in no particular order."""

    id: str
    download_ids: tuple[str, ...]


class Reply(msgspec.Struct, Generic[T], frozen=True):
    """The wrapping of every reply that is no error."""

    data: T


def decode_json(body: bytes, kind: type[T]) -> T:
    """Return `body`, which must be JSON, as a `kind`.

    Raises:
        ValueError: it is not; the message names the place and the types, never a value. (The caller knows the URL or
            the path that its own error should name.)
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # The decoder's other errors are ValueErrors too, but a deep nest of brackets is not.
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValueError(problem) from error


def format_api_time(time_us: int) -> str:
    """Return microseconds of UTC as the API writes a time: no offset, a fraction of six digits unless it is zero."""
    return (EPOCH + timedelta(microseconds=time_us)).replace(tzinfo=None).isoformat()


def parse_api_time(text: str) -> int:
    """Return the API's text of a time as microseconds of UTC; no offset means UTC, digits beyond the sixth are cut.

    Raises:
        ValueError: the text is no such time.
    """
    if not API_TIME.fullmatch(text):
        raise ValueError("a time is not of the form YYYY-MM-DDTHH:MM:SS")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("a time does not exist in the calendar") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    time_us = (moment - EPOCH) // timedelta(microseconds=1)
    if not FIRST_US <= time_us <= LAST_US:
        raise ValueError("a time's offset leads out of the years 1 to 9999")
    return time_us
