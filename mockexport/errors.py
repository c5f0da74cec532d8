"""What can go wrong, as one tree with one root. No other exception leaves the library on purpose.

    MockExportError
    ├── OptionError              the caller's: an argument that cannot be meant
    ├── RunNotOpen               the caller's: a Run is used outside its `async with`, or twice
    ├── ServerNotRunning         the caller's: a MockServer is asked for its address outside its `async with`
    ├── SourceError              the export's side
    │   ├── SourceNotOpen            used before or after its `async with`
    │   ├── ServerUnreachable        no usable answer from the server
    │   ├── ExportNotFound           the server has others (they are named)
    │   ├── MetadataError            the server's description of an export cannot be used
    │   ├── FolderError              a folder of files cannot be read as an export
    │   └── TransferError            a download's bytes did not arrive whole; `passing` if another try may help
    ├── FormatError              the data's
    │   ├── HeaderError              the first line does not name the columns
    │   │   └── ContentError             no file of resources at all, but a page or the server's own words
    │   ├── BadRowError              a bad row where none is allowed (strict)
    │   └── NotedError               something to note where nothing may be (strict)
    ├── IncompleteReport         downloads failed or differ, and nobody said that the figures of the others will do
    ├── ReducerError             a reducer raised: its author's
    ├── StateError               saved bytes are no state of this reducer
    ├── CheckpointError          a checkpoint that does not belong to this run, or cannot be read
    ├── LimitError               more came than a limit allows, which the caller may raise
    ├── OutputError              this machine's: a file cannot be written
    ├── ClusterError             many machines': scheduler or workers cannot do their part
    └── ArrowUnavailable         this machine's: columns for data frames take the compiled parts

A class takes facts and writes its own message: what, where, and what to do. No message holds a patient's id or value,
nor the query or credentials of a URL, nor what could steer a terminal (shown.py).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mockexport.shown import public_url, shown, shown_list

__all__ = [
    "OUTAGE_STATUSES",
    "ArrowUnavailable",
    "BadRowError",
    "CheckpointError",
    "ClusterError",
    "ContentError",
    "ExportNotFound",
    "FolderError",
    "FormatError",
    "HeaderError",
    "IncompleteReport",
    "LimitError",
    "MetadataError",
    "MockExportError",
    "NotedError",
    "OptionError",
    "OutputError",
    "ReducerError",
    "RunNotOpen",
    "ServerNotRunning",
    "ServerUnreachable",
    "SourceError",
    "SourceNotOpen",
    "StateError",
    "TransferError",
    "first_error_alone",
    "nearest",
    "reducer_at_work",
]


# What is longer is no word with a slip in it, and comparing takes quadratic time.
MAX_WORD = 200


class MockExportError(Exception):
    """The root: catch this to catch all that mockexport raises on purpose."""

    def __init__(self, message: str = "") -> None:
        super().__init__(shown(message))

    def __reduce__(self) -> tuple[Any, ...]:
        # An error is made of facts and holds its message: it travels between processes as what it has become.
        return _arrived, (type(self), self.args, self.__dict__)


def _arrived(kind: type[MockExportError], args: tuple[Any, ...], facts: dict[str, Any]) -> MockExportError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


class OptionError(MockExportError, ValueError):
    """An argument that cannot be meant; the nearest of the words `known` is named to who wrote `given` for one."""

    def __init__(self, option: str, problem: str, *, given: str = "", known: Sequence[str] = ()) -> None:
        meant = nearest(given, known)
        if meant is not None:
            problem = f"{problem}; did you mean {meant}?"
        self.option = option
        self.problem = problem
        super().__init__(f"{option}: {problem}")


class RunNotOpen(MockExportError, RuntimeError):  # noqa: N818 - a state of the world, named as one
    """A Run is used before or after its `async with`, or a second time."""


class ServerNotRunning(MockExportError, RuntimeError):  # noqa: N818 - a state of the world, named as one
    """A MockServer is asked for what it has only while it runs."""

    def __init__(self) -> None:
        super().__init__("the mock server is not running: use it inside `async with`, which starts and ends it")


class SourceError(MockExportError):
    """The export's side could not give what was asked for."""


class SourceNotOpen(SourceError):  # noqa: N818 - a state of the world, named as one
    """A source is used before or after its `async with`."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the source {public_url(name)} is not open: use it inside `async with`, which opens and closes it"
        )


class ServerUnreachable(SourceError):  # noqa: N818 - a state of the world, named as one
    """No usable answer from the server; `silent` if nothing came at all, and nobody may be there."""

    def __init__(self, url: str, problem: str, *, silent: bool = False) -> None:
        self.url: str = public_url(url)
        told = f"no answer from {self.url}: {problem}; is the server running, and the URL right?"
        super().__init__(told if silent else f"no usable answer from {self.url}: {problem}")


class ExportNotFound(SourceError):  # noqa: N818 - a state of the world, named as one
    """The export is unknown; `available` are the ids that there are."""

    def __init__(self, export_id: str, where: str, available: Sequence[str]) -> None:
        self.export_id = export_id
        self.available: tuple[str, ...] = tuple(available)
        there = shown_list(self.available) or "none"
        super().__init__(f"no export {public_url(export_id)!r} at {public_url(where)}; there: {there}")


class MetadataError(SourceError):
    """The server's description of an export cannot be used."""

    def __init__(self, url: str, problem: str) -> None:
        self.url: str = public_url(url)
        super().__init__(f"unusable reply from {self.url}: {problem}")


class FolderError(SourceError):
    """A folder of files cannot be read as an export."""

    def __init__(self, path: object, problem: str) -> None:
        self.path: str = str(path)
        super().__init__(f"{path}: {problem}")


# Statuses that speak of the server, or of what stands before it, and not of what was asked for.
OUTAGE_STATUSES = frozenset({429, 502, 503, 504})


class TransferError(SourceError):
    """A download's bytes did not arrive whole.

    `passing` tells whether another attempt may help; `offset` is the number of bytes that had arrived; `status` is the
    server's, if that is what went wrong; `silent` if nothing came at all, as from a server that is not running.
    """

    def __init__(
        self,
        download_id: str,
        where: str,
        problem: str,
        *,
        attempt: int = 1,
        offset: int = 0,
        passing: bool = False,
        status: int | None = None,
        silent: bool = False,
    ) -> None:
        self.download_id = download_id
        self.where: str = public_url(where)
        self.problem = problem
        self.attempt = attempt
        self.offset = offset
        self.passing = passing
        self.status = status
        self.silent = silent
        super().__init__(f"download {download_id} from {self.where}, attempt {attempt}, byte {offset}: {problem}")


class FormatError(MockExportError):
    """The bytes are not what the format allows."""


class HeaderError(FormatError):
    """The first line does not name the columns."""

    def __init__(self, download_id: str, line: int, problem: str) -> None:
        self.download_id = download_id
        self.line = line
        self.problem = problem
        super().__init__(f"download {download_id}, line {line}: not the expected CSV header: {problem}")


class ContentError(HeaderError):
    """A file that should hold resources is a page, or says what went wrong on the server."""

    def __init__(self, download_id: str, line: int, problem: str) -> None:
        self.download_id = download_id
        self.line = line
        self.problem = problem
        FormatError.__init__(self, f"download {download_id}, line {line}: {problem}")


class BadRowError(FormatError):
    """A bad row where none is allowed."""

    def __init__(self, download_id: str, line: int, offset: int, reason: str) -> None:
        self.download_id = download_id
        self.line = line
        self.offset = offset
        self.reason = reason
        super().__init__(
            f"download {download_id}, line {line} (in the chunk at byte {offset}): bad row: {reason};"
            " without strict it would be counted and passed over"
        )


class NotedError(FormatError):
    """Something is to be noted where nothing may be; `where` is a download or the report."""

    def __init__(self, where: str, noted: str) -> None:
        self.noted = noted
        super().__init__(f"{where}: {noted}; without strict this would be a note beside the figures")


class IncompleteReport(MockExportError):  # noqa: N818 - a state of the world, named as one
    """Figures are asked of a report in which `downloads` are missing, or differ from their metadata."""

    def __init__(self, export_id: str, downloads: Sequence[str], why: str) -> None:
        self.export_id = export_id
        self.downloads: tuple[str, ...] = tuple(downloads)
        number = len(self.downloads)
        told = "1 download is" if number == 1 else f"{number:,} downloads are"
        super().__init__(
            f"the report of {export_id!a} is incomplete: {told} not in it, or not as announced; the first is"
            f" {self.downloads[0]!a} ({why}). report.account tells of all; to use the figures as they are, say"
            " allow_incomplete=True"
        )


class ReducerError(MockExportError):
    """A reducer raised; the cause is chained. `download_id` and `offset` are None unless it was updating a state."""

    def __init__(
        self, reducer: str, download_id: str | None, offset: int | None, cause: BaseException, *, doing: str = "update"
    ) -> None:
        self.download_id = download_id
        self.offset = offset
        where = doing if download_id is None else f"download {download_id}, in the chunk at byte {offset}"
        # The cause's own text may quote a row, so only its type is told here.
        super().__init__(f"reducer {reducer} raised {type(cause).__name__} in {where}")


class StateError(MockExportError):
    """Saved bytes are no state of this reducer."""

    def __init__(self, reducer: str, problem: str) -> None:
        super().__init__(f"saved state of reducer {reducer}: {problem}")


class CheckpointError(MockExportError):
    """A checkpoint that does not belong to this run, or cannot be read; it was left alone."""

    def __init__(self, path: object, problem: str) -> None:
        self.path: str = str(path)
        self.problem = problem
        super().__init__(
            f"the checkpoint {path} cannot be used: {problem}; name another file, or remove it to begin anew"
        )


class OutputError(MockExportError):
    """A file cannot be written."""

    def __init__(self, path: object, problem: str) -> None:
        self.path: str = str(path)
        super().__init__(f"cannot write {path}: {problem}")


class LimitError(MockExportError):
    """More of something came than a limit allows; `name` is the limit's in model.SizeLimits."""

    def __init__(self, what: str, limit: int, name: str) -> None:
        self.limit = limit
        self.name = name
        super().__init__(
            f"more than {limit:,} {what}, which is the limit (SizeLimits.{name}); raise it if so many are meant"
        )


class ArrowUnavailable(MockExportError):  # noqa: N818 - a state of the world, named as one
    """Columns cannot be handed to a data frame: the compiled parts are not there."""

    def __init__(self) -> None:
        super().__init__(
            "handing columns to a data frame takes mockexport's compiled parts, which were not built when it was"
            " installed: install a C compiler (GCC or Clang), and then mockexport once more; rows() works without"
        )


class ClusterError(MockExportError):
    """The scheduler or the workers of a cluster cannot do their part."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"the cluster: {problem}")


def nearest(text: str, known: Sequence[str], *, alike: float = 0.6) -> str | None:
    """Return which of the words `known` somebody may have meant who wrote `text`."""
    if not known or len(text) > MAX_WORD:
        return None
    import difflib  # no sooner: nearly all is written right

    return next(iter(difflib.get_close_matches(text, known, 1, alike)), None)


@contextmanager
def reducer_at_work(reducer: object, doing: str) -> Iterator[None]:
    """Turn what a reducer raises in its method `doing`, where no chunk is to blame, into a ReducerError."""
    try:
        yield
    except (LimitError, ReducerError):
        raise
    except Exception as error:
        raise ReducerError(type(reducer).__name__, None, None, error, doing=doing) from error


@contextmanager
def first_error_alone() -> Iterator[None]:
    """Raise, in place of a group of errors, its first: the one that made tasks that belong together end together."""
    error: BaseException | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        error = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
    if error is not None:
        raise error  # out here, so that its own cause stays and the group is not part of the story
