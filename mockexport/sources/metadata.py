"""The export API's replies as typed values: what the server writes, what the client reads, what `export.json` holds.

Rules: JSON and its checks live here and nothing else: no files, no sockets. Unknown extra keys are ignored. What a
foreign server may leave out is None, and is left out again when written. Order is kept as it was announced.
"""

from typing import Annotated, Generic, TypeVar

import msgspec

from mockexport.formats.fields import format_time, parse_time
from mockexport.model import Download

__all__ = [
    "DownloadMetadata",
    "ExportContents",
    "ExportList",
    "Reply",
    "decode_json",
    "format_api_time",
    "is_json",
]

T = TypeVar("T")

# What 64 bits can count: everything later may rely on it.
MAX_ROWS = 2**63 - 1


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
            event_types=self.event_types,
            patients=self.patients,
            start_us=_time("start_time", self.start_time),
            end_us=_time("end_time", self.end_time),
            size_bytes=size_bytes,
        )


def _time(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else parse_time(text)
    except ValueError:
        raise ValueError(f"{name} is no time such as 2025-08-26T00:00:00") from None


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


def is_json(body: bytes) -> bool:
    """Tell whether `body` is an object in JSON, which no beginning of one is."""
    if body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] != b"{":
        return False
    try:
        decode_json(body.removeprefix(b"\xef\xbb\xbf"), msgspec.Raw)
    except ValueError:
        return False
    return True


def format_api_time(time_us: int) -> str:
    """Return microseconds of UTC as the API writes a time: no offset, a fraction only where it is not zero."""
    return format_time(time_us).removesuffix("Z")
