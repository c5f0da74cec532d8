"""Keeps what another source brings as Parquet: every download that counts becomes a file in a folder, in the same pass.

The one place that knows pyarrow, which comes with the extra `mockexport[parquet]`. Parquet is for other tools: nothing
here reads it, so a second run fetches everything again. `parquet.json` describes the folder, and says whether it is
finished.
"""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from mockexport.engine.choosing import kernel_problem
from mockexport.errors import FolderError, OptionError, OutputError
from mockexport.formats import Batch, CsvDecoder, Cutter
from mockexport.formats.batch import NO_VALUE, VALUE_BYTES, packed, with_missing
from mockexport.formats.schema import Schema
from mockexport.model import Chunk, Download, Export, Span, Verdict
from mockexport.newfile import NewFile, make_folder
from mockexport.pipeline.streams import ByteStream, Piece, Room, Source, StartOver, offer
from mockexport.reducers import Reducer, Result
from mockexport.saving.claiming import Claim
from mockexport.shown import quoted
from mockexport.sources.listing import LISTING, MAX_LISTING_BYTES, PARQUET_LISTING, UNFINISHED, file_name

__all__ = ["SavingParquet", "require_parquet"]

# Enough for a row group to be worth its overhead, few enough for several to be gathered at once.
ROW_GROUP_ROWS = 128 * 1024
CHUNK_BYTES = 256 * 1024


class _KeptFile(msgspec.Struct, frozen=True):
    id: str
    file: str
    rows: int
    verdict: str


class _Listing(msgspec.Struct, frozen=True):
    id: str
    finished: bool
    downloads: tuple[_KeptFile, ...]


def require_parquet() -> None:
    """See that Parquet can be written, before anything is fetched.

    Raises:
        OptionError: if the extra is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        needed = "parquet takes one more package: pip install 'mockexport[parquet]'"
        raise OptionError("save_format", needed) from error


class SavingParquet:
    """A Source that passes on another's exports and keeps them in `directory` as Parquet, one export to a folder.

    Call `finish` after the run. Files are readable by their owner alone.

    Args:
        source: where the bytes come from.
        directory: the folder.
        schema: how the columns are called; in the files they have their usual names.
        engine: as for the pipeline; the files hold the same rows.
    """

    def __init__(
        self, source: Source, directory: str | Path, *, schema: Schema | None = None, engine: str = "auto"
    ) -> None:
        require_parquet()
        self._source = source
        self.directory: Path = Path(directory)
        self._schema = schema or Schema()
        self._compiled = engine != "python" and kernel_problem() is None
        self._export: Export | None = None
        self._before: frozenset[str] = frozenset()  # files of earlier runs
        self._names: dict[str, str] = {}
        self._kept: dict[str, _KeptFile] = {}
        self._claim: Claim | None = None

    @property
    def name(self) -> str:
        """The other source's name."""
        return self._source.name

    async def export_ids(self) -> list[str]:
        """Return the other source's exports."""
        return await self._source.export_ids()

    async def discover(self, export_id: str) -> Export:
        """Return the export, once the folder is seen to be fit for it, and marked as unfinished.

        Raises:
            FolderError: if the folder holds CSV, another export, or Parquet of something else.
            OutputError: if it cannot be made, or another run is writing to it.
        """
        export = await self._source.discover(export_id)
        make_folder(self.directory)
        self._claim = Claim(self.directory)
        if any((self.directory / listing).exists() for listing in (LISTING, UNFINISHED)):
            raise FolderError(self.directory, "holds an export as CSV; give Parquet its own folder")
        listing = _read(self.directory)
        if listing is None and any(self.directory.glob("*.parquet")):
            raise FolderError(self.directory, f"holds Parquet files, but no {PARQUET_LISTING}; name another folder")
        if listing is not None and listing.id != export_id:
            raise FolderError(
                self.directory, f"holds the export {quoted(listing.id)}; give {export_id!a} its own folder"
            )
        self._before = frozenset(path.name for path in self.directory.glob("*.parquet"))
        self._export = export
        self._names = {
            download.id: file_name(place, download.id).removesuffix(".csv") + ".parquet"
            for place, download in enumerate(export.downloads)
        }
        _write(self.directory, _Listing(export.id, False, ()))
        return export

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the download's bytes, and keep their rows on the way."""
        return _SavedStream(self, download, self._source.stream(export_id, download))

    def new_file(self, download: Download) -> "_RowsFile":
        """Return a file for a download's rows, from the first on."""
        decode = _compiled(download, self._schema) if self._compiled else _reference(download, self._schema)
        return _RowsFile(self.directory / self._names[download.id], Span(download.id), decode)

    def keep(self, download: Download, rows: int, verdict: Verdict) -> None:
        """Note a file that is in place."""
        self._kept[download.id] = _KeptFile(download.id, self._names[download.id], rows, str(verdict.kind))

    def finish(self) -> None:
        """Say in `parquet.json` what there is; finished if that is every download of the export."""
        if self._export is None:
            return
        kept = tuple(self._kept[download.id] for download in self._export.downloads if download.id in self._kept)
        finished = len(kept) == len(self._export.downloads)
        if finished:  # a reader of *.parquet must find nothing that the export no longer has
            for name in self._before - set(self._names.values()):
                with suppress(OSError):
                    (self.directory / name).unlink(missing_ok=True)
        _write(self.directory, _Listing(self._export.id, finished, kept))

    def release(self) -> None:
        """Let other runs write to the folder."""
        if self._claim is not None:
            self._claim.release()


class _SavedStream:
    """A stream whose rows are written to a file as they pass."""

    def __init__(self, saving: SavingParquet, download: Download, fetched: ByteStream) -> None:
        self._saving = saving
        self._download = download
        self._fetched = fetched
        self._file: _RowsFile | None = None

    def receive_into(self, room: Room) -> None:
        offer(self._fetched, room)

    async def pieces(self) -> AsyncGenerator[Piece]:
        self._discard()  # an attempt before this one, if it broke off
        async with aclosing(self._fetched.pieces()) as pieces:
            async for piece in pieces:
                if isinstance(piece, bytes | memoryview):
                    if self._file is None:
                        self._file = self._saving.new_file(self._download)
                    # A copy: if this is cancelled, the thread goes on with it, and the view is somebody else's.
                    await asyncio.to_thread(self._file.feed, bytes(piece))
                elif isinstance(piece, StartOver):
                    self._discard()
                yield piece

    def start_over(self, problem: str) -> StartOver:
        restart = self._fetched.start_over(problem)
        self._discard()
        return restart

    async def close(self, verdict: Verdict | None) -> None:
        try:
            if verdict is not None and verdict.counts:
                file = self._file = self._file or self._saving.new_file(self._download)
                rows = await asyncio.to_thread(file.commit)
                self._saving.keep(self._download, rows, verdict)
        finally:
            self._discard()
            await self._fetched.close(verdict)

    def _discard(self) -> None:
        """Not awaited: a cancellation here would leave the file. What it waits for is one piece at most."""
        if self._file is not None:
            file, self._file = self._file, None
            file.discard()


# Turns a chunk into a record batch; None if no row came of it.
# Returns the record batches of the next chunk, or, for None, of what was pending at the end.
_Decode = Callable[[Chunk | None], list[Any]]


class _RowsFile:
    """The Parquet file of one attempt: bytes in, row groups out. Once it is discarded, nothing happens any more.

    A thread may still be at work here when the stream is closed, hence the lock.
    """

    def __init__(self, path: Path, span: Span, decode: _Decode) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._cutter = Cutter(span, CHUNK_BYTES)
        self._decode = decode
        self._lock = threading.Lock()
        self._over = False
        self._file: BinaryIO | None = None
        self._writer: Any = None
        self._gathered: list[Any] = []
        self._gathered_rows = 0
        self._rows = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes in.

        Raises:
            HeaderError: if the first row does not name the columns.
            OutputError: if the file cannot be written.
        """
        with self._lock:
            if not self._over:
                self._take(list(self._cutter.feed(piece)))

    def commit(self) -> int:
        """Make the file appear under its name, its bytes on the disk first; return its rows."""
        with self._lock:
            if self._over:
                return 0
            self._take([*self._cutter.finish(), None])
            try:
                self._write_group()
                self._writer.close()
                assert self._file is not None  # noqa: S101 - opened with the writer
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._partial.replace(self._path)
            except OSError as error:
                raise self._fault(error) from error
            self._over = True
            return self._rows

    def discard(self) -> None:
        """Remove what was written; nothing happens after `commit`."""
        with self._lock:
            if self._over:
                return
            self._over = True
            self._gathered.clear()
            if self._file is None:
                return
            if self._writer is not None:
                with suppress(OSError):  # what led here says more
                    self._writer.close()
                self._writer.is_open = False  # else it would try once more when it is collected
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)

    def _take(self, chunks: Sequence[Chunk | None]) -> None:
        for chunk in chunks:
            batches = self._decode(chunk)
            self._gathered += batches
            self._gathered_rows += sum(batch.num_rows for batch in batches)
            if self._gathered_rows >= ROW_GROUP_ROWS:
                try:
                    self._write_group()
                except OSError as error:
                    raise self._fault(error) from error

    def _write_group(self) -> None:
        import pyarrow
        from pyarrow import parquet

        if self._writer is None:
            self._partial.unlink(missing_ok=True)
            self._file = open(self._partial, "xb", opener=_private)  # noqa: SIM115 - closed by commit and discard
            self._writer = parquet.ParquetWriter(self._file, _schema(), compression="zstd")
        if self._gathered:
            self._writer.write_table(pyarrow.Table.from_batches(self._gathered), row_group_size=2 * ROW_GROUP_ROWS)
        self._rows += self._gathered_rows
        self._gathered.clear()
        self._gathered_rows = 0

    def _fault(self, error: OSError) -> OutputError:
        return OutputError(self._path, error.strerror or type(error).__name__)


def _compiled(download: Download, schema: Schema) -> _Decode:
    """Return the compiled decoder."""
    import pyarrow

    from mockexport.engine.columns import ColumnsFold, NumberedBatch

    batches: Reducer[Any, Any] = _Batches()
    fold = ColumnsFold(Span(download.id), schema, batches, strict=False, keep_missing=True)

    def decode(chunk: Chunk | None) -> list[Any]:
        fold.state = []
        if chunk is None:
            fold.finish()
        else:
            fold.feed(chunk)
        return [kept(batch) if isinstance(batch, NumberedBatch) else _record(batch) for batch in fold.state]

    def kept(batch: NumberedBatch) -> Any:
        columns = pyarrow.record_batch(batch)
        names = [columns[name].dictionary_decode().cast(pyarrow.string()) for name in ("patient_id", "event_type")]
        parts = [names[0], columns["event_time"], names[1], _values(batch.scaled)]
        return pyarrow.record_batch(parts, schema=_schema())

    return decode


class _Batches:
    """A reducer whose state is the list of the batches; it is never merged, saved or asked for a result."""

    fingerprint = "batches"

    def empty(self) -> list[Batch]:
        return []

    def update(self, state: list[Batch], batch: Batch) -> list[Batch]:
        return [*state, batch]

    def merge(self, earlier: list[Batch], later: list[Batch]) -> list[Batch]:
        raise NotImplementedError

    def dump(self, state: list[Batch]) -> bytes:
        raise NotImplementedError

    def load(self, data: bytes) -> list[Batch]:
        raise NotImplementedError

    def result(self, state: list[Batch]) -> Result[Any]:
        raise NotImplementedError


def _reference(download: Download, schema: Schema) -> _Decode:
    """Return the reference decoder."""
    decoder = CsvDecoder(schema, download_id=download.id)
    line = 1

    def decode(chunk: Chunk | None) -> list[Any]:
        nonlocal line
        if chunk is None:
            batch, _ = with_missing(decoder.finish(line))
        else:
            batch, _ = with_missing(decoder.decode(chunk))
            line = chunk.line + bytes(chunk.data).count(b"\n")
        return [_record(batch)] if batch else []

    return decode


def _record(batch: Batch) -> Any:
    import pyarrow

    columns = [batch.patient_ids, batch.event_times, batch.event_types, _values(packed(batch.values))]
    return pyarrow.record_batch(columns, schema=_schema())


def _values(scaled: bytes) -> Any:
    """Return integers of 10⁻¹⁸ as decimals, which have the same bytes; NO_VALUE is null."""
    import pyarrow
    from pyarrow import compute

    decimals, count = _schema().field("value").type, len(scaled) // VALUE_BYTES
    values, no_value = (
        pyarrow.Array.from_buffers(decimals, len(numbers) // VALUE_BYTES, [None, pyarrow.py_buffer(numbers)])
        for numbers in (scaled, packed([NO_VALUE]))
    )
    there = compute.not_equal(values, no_value[0])
    return pyarrow.Array.from_buffers(decimals, count, [there.buffers()[1], values.buffers()[1]])


def _schema() -> Any:
    import pyarrow

    return pyarrow.schema(
        [
            pyarrow.field("patient_id", pyarrow.string(), nullable=False),
            pyarrow.field("event_time", pyarrow.timestamp("us", "UTC"), nullable=False),
            pyarrow.field("event_type", pyarrow.string(), nullable=False),
            pyarrow.field("value", pyarrow.decimal128(38, 18)),
        ]
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(directory: Path) -> _Listing | None:
    path = directory / PARQUET_LISTING
    try:
        if not path.exists():
            return None
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MAX_LISTING_BYTES), type=_Listing)
    except OSError as error:
        raise FolderError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FolderError(path, f"is not of this program ({error}); name another folder") from error


def _write(directory: Path, listing: _Listing) -> None:
    with NewFile(directory / PARQUET_LISTING, named=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(listing), indent=1) + b"\n")
        file.commit()
