"""How a run goes: RunOptions, one frozen value that the pipeline, a checkpoint and a cluster's workers take whole."""

from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypedDict

from mockexport.errors import OptionError
from mockexport.formats.filters import Filter
from mockexport.formats.format import Format
from mockexport.formats.schema import Schema
from mockexport.model import MaxBad, SizeLimits

__all__ = ["DEFAULT_CONCURRENCY", "DEFAULT_MAX_BAD", "DEFAULT_QUEUE_SIZE", "RunKeywords", "RunOptions"]

# Enough to keep two cores and a fast line busy, little enough for any server.
DEFAULT_CONCURRENCY = 4
# Evens out a consumer's hiccup; more would only cost memory.
DEFAULT_QUEUE_SIZE = 2
# A table that was read as what it is has hardly any bad rows; one in ten is a table read as something else.
DEFAULT_MAX_BAD = "10%"


class RunKeywords(TypedDict, total=False):
    """RunOptions as they are given, one by one; None is the default.

    Keys:
        schema: how bytes become rows: of a table, how its columns are called and separated, and what times without an
            offset are local to.
        filter: the rows that are asked for, all by default. Verdicts are of all rows; a download whose metadata says
            that it holds none that are asked for is not fetched, and counts as skipped. Does not go with `save`.
        split: divide longer downloads into spans of about this many bytes, which come over connections of their own,
            where the server can resume; by default none is divided.
        chunk_bytes: size of the chunks that go through the queue, in bytes; a chunk holds one row at the least. By
            default, of the 4 MiB that all of them share (6 MiB of files that are not compressed), so 1 MiB on two
            cores, and 256 KiB at the least; 384 KiB for reducers and the engine that are written in Python.
        queue_size: chunks that may wait in the queue; 2 by default.
        consumers: how many chunks are folded at once; by default as many as there are cores, and one for reducers and
            the engine that are written in Python.
        coverage: count rows by hour of UTC, too; they are in the account of each download.
        strict: make the first bad row an error instead of counting it, and so whatever would be noted of the data.
        max_bad: with more bad rows than this, a number of rows or a share such as "10%" (the default), a download has
            failed; one whose rows are all bad always has.
        engine: "auto" for the fastest that there is for the reducer, or "kernel" (compiled) or "python"; the report is
            the same.
        on_failure: "continue" with the other downloads when one has failed, or "stop": the others are then skipped.
    """

    schema: Format | None
    filter: Filter | None
    split: int | None
    chunk_bytes: int | None
    queue_size: int | None
    consumers: int | None
    coverage: bool
    strict: bool
    max_bad: int | str
    engine: Literal["auto", "kernel", "python"]
    on_failure: Literal["continue", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run goes, beside where its data is and who listens (see RunKeywords).

    `concurrency` is the number of streams open at once. `chunk_bytes` and `consumers` None depend on the engine.

    Raises:
        OptionError: one is below 1, or is no such word.
    """

    schema: Format = field(default_factory=Schema)
    filter: Filter = field(default_factory=Filter)
    concurrency: int = DEFAULT_CONCURRENCY
    split: int | None = None
    chunk_bytes: int | None = None
    queue_size: int = DEFAULT_QUEUE_SIZE
    consumers: int | None = None
    coverage: bool = False
    strict: bool = False
    max_bad: MaxBad = field(default_factory=lambda: MaxBad.of(DEFAULT_MAX_BAD))
    engine: str = "auto"
    on_failure: str = "continue"
    size_limits: SizeLimits = field(default_factory=SizeLimits)

    def __post_init__(self) -> None:
        for name in ("concurrency", "chunk_bytes", "queue_size", "consumers", "split"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise OptionError(name, f"must be at least 1, not {number}")
        if self.on_failure not in ("continue", "stop"):
            raise OptionError("on_failure", f"{self.on_failure!a} is neither continue nor stop")

    @classmethod
    def of(cls, **given: Any) -> Self:
        """Return the options that are given, with RunKeywords' names and values; those that are None are the defaults.

        Raises:
            OptionError: one cannot be meant.
        """
        known = {name: value for name, value in given.items() if value is not None}
        if "max_bad" in known:
            known["max_bad"] = MaxBad.of(known["max_bad"])
        return cls(**known)

    @property
    def stops_on_failure(self) -> bool:
        """Whether the other downloads are broken off when one has failed."""
        return self.on_failure == "stop"
