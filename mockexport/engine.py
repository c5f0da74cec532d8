"""Folds the chunks of one span into a tally and a reducer's state: decode, count, reduce. And who does it: the engine.

Synchronous and single-threaded by design: the pipeline hands over a span's chunks one at a time and in order, each in
whatever thread is free. So what a fold holds always describes exactly the bytes from the span's start to `offset`.

There are two engines. "python" is the reference: every reducer, every row. "kernel" is compiled, where it could be
built: it decodes, and for `Summary` and `Selection` it reduces too, with its own form of the state; other reducers are
given batches. Reports, tallies and dumped states are equal, bit by bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mockexport.errors import BadRowError, OptionError, ReducerError, reducer_at_work
from mockexport.filters import Filter
from mockexport.formats import CsvDecoder
from mockexport.model import Chunk, Schema, Span
from mockexport.reducers import Reducer
from mockexport.tally import Tally

__all__ = ["ENGINES", "KERNEL_REMEDY", "Engine", "Fold", "ReferenceFold", "choose_engine", "kernel_problem"]

# What may be asked for: the best there is for the reducer, or one of the two.
ENGINES = ("auto", "kernel", "python")

# What to do where there is no kernel.
KERNEL_REMEDY = "to get it, install a C compiler (GCC or Clang), and then mockexport once more"

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class Fold(Protocol[S_co]):
    """What the pipeline asks of an engine."""

    offset: int

    @property
    def header(self) -> str | None:
        """The header line, None while it has not come: with it, another fold can go on where this one is."""

    @property
    def rows(self) -> int:
        """The number of rows so far; may be asked for at any time."""

    @property
    def tally(self) -> Tally:
        """The counts of the rows so far; not to be asked for during `feed`."""

    @property
    def state(self) -> S_co:
        """The state of the rows so far, in the engine's form."""

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk.

        Raises:
            HeaderError: if the first row does not name the columns.
            BadRowError: for the first bad row, where none is allowed.
            ReducerError: if the reducer raises.
        """


class ReferenceFold(Generic[S]):
    """The pure-Python engine: every reducer, every row, and the last word on what a row means."""

    def __init__(
        self,
        span: Span,
        schema: Schema,
        reducer: Reducer[S, Any],
        *,
        asked: Filter | None = None,
        coverage: bool = False,
        strict: bool,
        header: str | None = None,
    ) -> None:
        self.offset: int = span.start
        self.tally: Tally = Tally(coverage=coverage)
        with reducer_at_work(reducer, "empty"):
            self.state: S = reducer.empty()
        self._reducer = reducer
        self._asked = asked
        self._strict = strict
        self._decoder = CsvDecoder(schema, header=header)

    @property
    def header(self) -> str | None:
        """The header line (see Fold.header)."""
        return self._decoder.header

    @property
    def rows(self) -> int:
        """The number of rows so far."""
        return self.tally.rows

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk (see Fold.feed)."""
        decoded = self._decoder.decode(chunk)
        if self._strict and (bad := decoded.first_fault) is not None:
            raise BadRowError(chunk.span.download_id, bad.line, chunk.offset, bad.reason)
        self.tally.update(decoded)
        batch = decoded.batch
        if self._asked is not None:
            batch = self._asked.take(batch)
            self.tally.filtered += len(decoded.batch) - len(batch)
        if batch:
            try:
                self.state = self._reducer.update(self.state, batch)
            except Exception as error:
                name = type(self._reducer).__name__
                raise ReducerError(name, chunk.span.download_id, chunk.offset, error) from error
        self.offset = chunk.end


class NewFold(Protocol[S_co]):
    """Makes folds."""

    def __call__(self, span: Span, header: str | None = None) -> Fold[S_co]:
        """Return an empty fold of a span; one that does not begin with the header is given that."""


@dataclass(frozen=True, slots=True)
class Engine(Generic[S]):
    """Who folds a run's chunks.

    `name` tells what does the work: "kernel", "kernel+python" (the kernel decodes, the reducer is in Python) or
    "python". `reducer` is the reducer in the engine's form: the same as bytes and in its results, with states of its
    own kind. `count_lines` is for the cutter, where the engine has a quick one; `releases_lock` tells whether several
    folds make progress at once.
    """

    name: str
    reducer: Reducer[S, Any]
    new_fold: NewFold[S]
    count_lines: Callable[[bytes], int] | None
    releases_lock: bool

    def useful_threads(self, cores: int) -> int:
        """Return how many folds can make progress at once."""
        return cores if self.releases_lock else 1


def choose_engine(
    reducer: Reducer[Any, Any],
    schema: Schema,
    *,
    asked: Filter | None = None,
    coverage: bool = False,
    strict: bool = False,
    wanted: str = "auto",
) -> Engine[Any]:
    """Return the engine `wanted` for this reducer and the rows `asked` for; "auto" is the fastest that there is.

    With `coverage`, tallies count rows by hour.

    Raises:
        OptionError: if there is no such engine, or it cannot do what is wanted.
    """
    if wanted not in ENGINES:
        raise OptionError("engine", f"{wanted!a} is none of {', '.join(ENGINES)}")
    problem = kernel_problem()
    if problem is None and wanted != "python":
        return _compiled(reducer, schema, asked, coverage, strict)
    if wanted == "kernel":
        raise OptionError("engine", f"the kernel cannot be used: {problem}")
    return Engine(
        "python",
        reducer,
        lambda span, header=None: ReferenceFold(
            span, schema, reducer, asked=asked, coverage=coverage, strict=strict, header=header
        ),
        None,
        False,
    )


def _compiled(
    reducer: Reducer[Any, Any], schema: Schema, asked: Filter | None, coverage: bool, strict: bool
) -> Engine[Any]:
    """Return the compiled engine; importing it fails where it was not built."""
    from mockexport.columns import ColumnsFold
    from mockexport.kernel import KernelFold, count_lines, offsets_of, twin_of

    if schema.timezone is not None:
        offsets_of(schema.timezone)  # now: later, all threads would want it at once
    twin = twin_of(reducer)
    if twin is not None:
        return Engine(
            "kernel",
            twin,
            lambda span, header=None: KernelFold(
                span, schema, twin, asked=asked, coverage=coverage, strict=strict, header=header
            ),
            count_lines,
            True,
        )
    return Engine(
        "kernel+python",
        reducer,
        lambda span, header=None: ColumnsFold(
            span, schema, reducer, asked=asked, coverage=coverage, strict=strict, header=header
        ),
        count_lines,
        True,
    )


def kernel_problem() -> str | None:
    """Return why the kernel cannot be used; None if it can."""
    try:
        import mockexport._kernel  # noqa: F401
    except ImportError as error:
        # "No module named …" is all that Python has to say of one that was not built.
        missing = isinstance(error, ModuleNotFoundError)
        return "it was not built when mockexport was installed" if missing else f"it cannot be loaded ({error})"
    return None
