"""What can go wrong in the heart-rate service: a branch of the project's error tree.

    IngestError
    ├── ExtraMissing            the service's packages are not installed
    ├── FolderInUse             another process owns the data folder
    ├── FolderUnusable          the data folder cannot be used at all
    ├── RequestProblem          400: the caller's; names the field, never the value
    ├── NothingThere            404
    ├── BodyTooLarge            413
    ├── BodyTooSlow             408: the body did not arrive in time
    ├── ClientGone              nobody is left to answer
    └── Unavailable             503: the same request may succeed later
        ├── Overloaded              too many wait already
        │   └── BodySentAway            a slow body, where room was needed
        ├── Stopping                the service is ending
        ├── DiskFull                until there is room
        ├── StorageFailed           a failed write or fsync: until restarted
        └── Damaged                 stored bytes are not what was written; names the days

No message holds a user, a device or a value.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from mockexport.errors import MockExportError

__all__ = [
    "BodySentAway",
    "BodyTooLarge",
    "BodyTooSlow",
    "ClientGone",
    "Damaged",
    "DiskFull",
    "ExtraMissing",
    "FolderInUse",
    "FolderUnusable",
    "IngestError",
    "NothingThere",
    "Overloaded",
    "RequestProblem",
    "Stopping",
    "StorageFailed",
    "Unavailable",
    "day_text",
]


def day_text(day: int) -> str:
    """Return the date of a day number (days since 1970-01-01)."""
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")


class IngestError(MockExportError):
    """The root of this branch."""


class ExtraMissing(IngestError, ImportError):  # noqa: N818 - a state of the world, named as one
    """A package of the extra is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f"the heart-rate service needs {package}; install its extra: pip install 'mockexport[ingest]'")
        self.name: str | None = package


class FolderInUse(IngestError):  # noqa: N818 - a state of the world, named as one
    """Another process owns the data folder."""

    def __init__(self, folder: object, holder: str) -> None:
        self.holder = holder
        super().__init__(f"{folder} is in use by {holder}; one process owns a data folder")


class FolderUnusable(IngestError):  # noqa: N818 - a state of the world, named as one
    """The data folder cannot be used."""

    def __init__(self, folder: object, problem: str) -> None:
        super().__init__(f"data folder {folder}: {problem}")


class RequestProblem(IngestError):  # noqa: N818 - said to the client, where "error" says nothing
    """A request that cannot be meant. `field` names the part at fault."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


class NothingThere(IngestError):  # noqa: N818 - a state of the world, named as one
    """What was asked for does not exist."""


class BodyTooLarge(IngestError):  # noqa: N818 - a fact about a request
    """A body beyond its cap."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body is larger than {limit_bytes} bytes")


class BodyTooSlow(IngestError):  # noqa: N818 - a fact about a request
    """A body that did not arrive in time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__(f"the body did not arrive within {limit_s:g} seconds")


class ClientGone(IngestError):  # noqa: N818 - a state of the world, named as one
    """The client left before its request was whole."""


class Unavailable(IngestError):  # noqa: N818 - a state of the world, named as one
    """Not now. `retry_after_s` is what the client is told."""

    retry_after_s = 1


class Overloaded(Unavailable):
    """More waits already than the service is willing to hold."""

    def __init__(self, what: str) -> None:
        super().__init__(f"overloaded: {what}; try again later")


class BodySentAway(Overloaded):
    """The slowest body where all of them held too much."""

    def __init__(self) -> None:
        super().__init__("too many bodies at once, and this one is the slowest")


class Stopping(Unavailable):
    """The service was told to end before it had answered."""

    def __init__(self) -> None:
        super().__init__("the service is stopping; try again later")


class DiskFull(Unavailable):
    """No room: nothing is accepted until there is."""

    retry_after_s = 10

    def __init__(self) -> None:
        super().__init__("the disk is full; nothing is accepted until there is room")


class StorageFailed(Unavailable):
    """A write or fsync failed: what the disk holds is no longer known, so only a restart may accept again."""

    retry_after_s = 60

    def __init__(self, what: str) -> None:
        super().__init__(f"storage failed ({what}); nothing is accepted until the service is restarted")


class Damaged(Unavailable):
    """Stored bytes are not what was written. `days` are day numbers; none means that all may be concerned."""

    retry_after_s = 3600

    def __init__(self, days: Iterable[int], what: str) -> None:
        self.days: tuple[int, ...] = tuple(sorted(set(days)))
        # Enough names to act on; a thousand would be a reply of its own.
        names = ", ".join(day_text(day) for day in self.days[:10]) + (", …" if len(self.days) > 10 else "")
        super().__init__(f"the stored readings of {names or 'unknown days'} are damaged ({what})")
