"""What clients have asked for, in order, so that a test can say what its client did."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mockexport.server.kinds import Fault

__all__ = ["MAX_REQUESTS", "RecordedRequest"]

# A test that asks more often than this has another subject; a server that is forgotten must not grow for ever.
MAX_REQUESTS = 1_000_000


@dataclass(slots=True)
class RecordedRequest:
    """A request as it came, and what became of it. It is recorded once its head is in, and goes on to change.

    `path` is as it came, with its query; `headers` are found by a name in any case. `route` is `exports`, `export`,
    `metadata` or `data`, None for others, with the ids that the path names. `status` is None where there was no reply,
    `sent_bytes` are those of the body so far, and `fault` is what was done to it on purpose.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)  # with tokens
    route: str | None = None
    export_id: str | None = None
    download_id: str | None = None
    status: int | None = None
    sent_bytes: int = 0
    fault: Fault | None = None

    @property
    def range(self) -> str | None:
        """The header Range, such as `bytes=4096-`; None for the whole."""
        return self.headers.get("Range")
