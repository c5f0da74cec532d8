"""Folds the chunks of one span into a tally and a reducer's state: decode, count, reduce.

Synchronous and single-threaded by design: the pipeline hands over a span's chunks one at a time and in order, each in
whatever thread is free. So what a fold holds always describes exactly the bytes from the span's start to `offset`.
"""

from typing import Any, Generic, Protocol, TypeVar

from mockexport.errors import BadRowError, ReducerError
from mockexport.formats import CsvDecoder
from mockexport.model import Chunk, Schema, Span
from mockexport.reducers import Reducer
from mockexport.tally import Tally

__all__ = ["Fold", "ReferenceFold", "engine_name", "new_fold", "useful_threads"]

S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class Fold(Protocol[S_co]):
    """What the pipeline asks of an engine."""

    offset: int

    @property
    def header(self) -> str | None:
        """The header line, None while it has not come: with it, another fold can go on where this one is."""

    @property
    def tally(self) -> Tally:
        """The counts of the rows so far."""

    @property
    def state(self) -> S_co:
        """The reducer's state of the rows so far."""

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
        self, span: Span, schema: Schema, reducer: Reducer[S, Any], *, strict: bool, header: str | None = None
    ) -> None:
        self.offset = span.start
        self.tally = Tally()
        self.state = reducer.empty()
        self._reducer = reducer
        self._strict = strict
        self._decoder = CsvDecoder(schema, header=header)

    @property
    def header(self) -> str | None:
        """The header line (see Fold.header)."""
        return self._decoder.header

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk (see Fold.feed)."""
        decoded = self._decoder.decode(chunk)
        if self._strict and decoded.bad:
            bad = decoded.bad[0]
            raise BadRowError(chunk.span.download_id, bad.line, chunk.offset, bad.reason)
        self.tally.update(decoded)
        if decoded.batch:
            try:
                self.state = self._reducer.update(self.state, decoded.batch)
            except Exception as error:
                name = type(self._reducer).__name__
                raise ReducerError(name, chunk.span.download_id, chunk.offset, error) from error
        self.offset = chunk.end


def new_fold(
    span: Span, schema: Schema, reducer: Reducer[S, Any], *, strict: bool = False, header: str | None = None
) -> Fold[S]:
    """Return an empty fold of the best engine there is for this reducer; `header` is for a span that begins later."""
    return ReferenceFold(span, schema, reducer, strict=strict, header=header)


def engine_name() -> str:
    """Return the name of the engine in use, for the account and the curious."""
    return "python"


def useful_threads(cores: int) -> int:
    """Return how many folds can make progress at once: one where the interpreter's lock is held throughout."""
    return 1
