"""Whether what a checkpoint says can be true, before a run goes on from it; what was altered is an error of one line.

Rules: pure. Its digest shows damage; looked for here is what a hand may have changed, or a program that is wrong:
places and byte ranges that cannot be, and states, tallies and headers that cannot be read.
"""

from collections.abc import Mapping
from itertools import chain, pairwise
from typing import Any

from mockexport.errors import HeaderError, StateError
from mockexport.formats.format import Format
from mockexport.model import Export
from mockexport.pipeline.checkpoint import Saved
from mockexport.pipeline.span import Begun
from mockexport.reducers import Reducer, load_state
from mockexport.reducers.reach import REACH_BYTES

__all__ = ["check_saved"]


def check_saved(saved: Saved, export: Export, schema: Format, reducer: Reducer[Any, Any]) -> None:
    """Return if a run of this export could have saved this.

    Raises:
        ValueError: it could not; the message says what is wrong.
    """
    places = {download.id: place for place, download in enumerate(export.downloads)}
    _check_finished(saved, places)
    try:
        for run in saved.runs:
            load_state(reducer, run.state)
        for download_id, begun in saved.begun.items():
            _check_begun(download_id, begun, schema, reducer)
    except StateError as error:
        raise ValueError(str(error)) from error
    finished = {account.download_id for account in saved.finished}
    if not finished.isdisjoint(saved.begun) or not places.keys() >= saved.begun.keys():
        raise ValueError("a download that it goes on with is not there, or is there twice")


def _check_finished(saved: Saved, places: Mapping[str, int]) -> None:
    """Hold the accounts of finished downloads against the places whose states are merged."""
    ids = [account.download_id for account in saved.finished]
    if len(set(ids)) < len(ids) or not places.keys() >= {*ids}:
        raise ValueError("a finished download is not there, or is there twice")
    for account in saved.finished:
        numbers = (
            account.rows, account.filtered_rows, account.attempts, account.received_bytes, account.fetched_bytes,
            *account.bad_rows.values(), *account.missing_values.values(),
            *account.noted.values(),
        )  # fmt: skip
        reaches = b"" if account.reached is None else account.reached.reaches
        if not account.verdict.complete or min(numbers) < 0 or len(reaches) % REACH_BYTES:
            raise ValueError("a finished download is not finished, or has counts below zero")
    if not all(0 <= run.start < run.end <= len(places) for run in saved.runs):
        raise ValueError("a state is of places that there are not")
    merged = sorted(chain.from_iterable(range(run.start, run.end) for run in saved.runs))
    if merged != sorted(places[download_id] for download_id in ids):
        raise ValueError("its states are not those of the finished downloads")


def _check_begun(download_id: str, begun: Begun, schema: Format, reducer: Reducer[Any, Any]) -> None:
    """Hold the spans of one download against each other and against its length."""
    total, etag = begun.mark.total, begun.mark.etag
    if not (etag.startswith('"') and etag.isprintable()) or (total is not None and total < 0):
        raise ValueError("a download that it goes on with has no tag, or no length")
    spans = sorted(begun.spans, key=lambda held: held.span.start)
    headers: set[str | None] = set()
    for held in spans:
        start, end = held.span.start, held.span.end
        whole = end is None and start == 0 and len(spans) == 1
        fits = whole or (end is not None and total is not None and 0 <= start < end <= total)
        ends = total is None or held.offset <= total
        begins = held.offset >= held.span.read_from and held.begin >= 0 and held.lines >= 0
        if not fits or not ends or not begins or held.span.download_id != download_id:
            raise ValueError("a span begins or ends where there is nothing")
        held.unpacked(reducer)
        headers |= {held.left.header, held.entered.header}
        if held.left.header is None:
            raise ValueError("a span has no header")
    if any(held.span.end is None or held.span.end > following.span.start for held, following in pairwise(spans)):
        raise ValueError("spans of one download overlap")
    try:
        for header in headers - {None}:
            schema.decoder(header, download_id=download_id)
    except HeaderError:
        raise ValueError("the header that it goes on with does not name the columns") from None
