"""The reference engine, in Python: every reducer, every row, and the last word on what a row means."""

from typing import Any, Generic, TypeVar

from mockexport.errors import BadRowError, ReducerError, reducer_at_work
from mockexport.formats import Decoded
from mockexport.formats.batch import Identified
from mockexport.formats.filters import Filter
from mockexport.formats.format import Format
from mockexport.formats.tally import Tally
from mockexport.model import Chunk, Span
from mockexport.reducers import Reducer

__all__ = ["ReferenceFold"]

S = TypeVar("S")


class ReferenceFold(Generic[S]):
    """The pure-Python engine: every reducer, every row, and the last word on what a row means."""

    def __init__(
        self,
        span: Span,
        schema: Format,
        reducer: Reducer[S, Any],
        *,
        asked: Filter | None = None,
        coverage: bool = False,
        strict: bool,
        header: str | None = None,
        pending: bytes = b"",
    ) -> None:
        self.offset: int = span.start
        self.download_id: str = span.download_id
        self.line: int = 1
        self.tally: Tally = Tally(coverage=coverage)
        with reducer_at_work(reducer, "empty"):
            self.state: S = reducer.empty()
        self._reducer = reducer
        self._asked = asked
        self._strict = strict
        self._decoder = schema.decoder(header, pending=pending, download_id=span.download_id)

    @property
    def header(self) -> str | None:
        """The header line (see Fold.header)."""
        return self._decoder.header

    @property
    def known(self) -> tuple[int, int]:
        """How many patients and event types there are (see engine.Fold.known)."""
        return len(self.tally.patients), len(self.tally.event_types)

    @property
    def rows(self) -> int:
        """The number of rows so far."""
        return self.tally.rows

    @property
    def pending(self) -> bytes:
        """The beginning of a row that may go on (see Fold.pending)."""
        return self._decoder.pending

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk (see Fold.feed)."""
        self._take(self._decoder.decode(chunk), chunk.offset)
        self.offset, self.line = chunk.end, chunk.line + bytes(chunk.data).count(b"\n")

    def finish(self) -> None:
        """Take in what is pending (see Fold.finish)."""
        if self._decoder.pending:
            self._take(self._decoder.finish(self.line), self.offset)

    def _take(self, decoded: Decoded, offset: int) -> None:
        if self._strict and (bad := decoded.first_fault) is not None:
            raise BadRowError(self.download_id, bad.line, offset, bad.reason)
        self.tally.update(decoded)
        batch = decoded.batch
        if self._asked is not None:
            batch = self._asked.take(batch)
            self.tally.filtered += len(decoded.batch) - len(batch)
            if isinstance(decoded.batch, Identified):
                batch = decoded.batch  # what is asked for is known once the latest versions are (see reducers.Latest)
        if batch:
            try:
                self.state = self._reducer.update(self.state, batch)
            except Exception as error:
                name = type(self._reducer).__name__
                raise ReducerError(name, self.download_id, offset, error) from error
