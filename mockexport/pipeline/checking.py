"""Whether what a checkpoint says can be true, before anything is gone on with: whoever altered it is told, in a line.

Rules: pure. Its digest shows damage; looked for here is what a hand may have changed, or a program that is wrong:
places and byte ranges that cannot be, and states, tallies and headers that cannot be read.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, groupby, pairwise
from typing import Any

from mockexport.errors import HeaderError, StateError
from mockexport.formats.format import Format
from mockexport.formats.tally import Tally
from mockexport.model import Export
from mockexport.pipeline.checkpoint import Saved, SavedFlight
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
        for download_id, flights in groupby(saved.flights, key=lambda flight: flight.download_id):
            _check_flights(download_id, sorted(flights, key=lambda flight: flight.start), schema, reducer)
    except StateError as error:
        raise ValueError(str(error)) from error
    begun = [download_id for download_id, _ in groupby(saved.flights, key=lambda flight: flight.download_id)]
    finished = {account.download_id for account in saved.finished}
    if len(set(begun)) < len(begun) or not finished.isdisjoint(begun) or not places.keys() >= {*begun}:
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


def _check_flights(
    download_id: str, flights: Sequence[SavedFlight], schema: Format, reducer: Reducer[Any, Any]
) -> None:
    """Hold the spans of one download, in order, against each other and against its length."""
    first = flights[0]
    total = first.mark.total
    etag = first.mark.etag
    if not (etag.startswith('"') and etag.isprintable()) or (total is not None and total < 0):
        raise ValueError("a download that it goes on with has no tag, or no length")
    for flight in flights:
        if flight.mark != first.mark:
            raise ValueError("spans of one download are of different contents")
        if flight.end is None:
            fits = flight.start == 0 and len(flights) == 1
        else:
            fits = total is not None and 0 <= flight.start < flight.end <= total
        ends = total is None or flight.offset <= total
        if not fits or not ends or flight.offset < flight.span.read_from or flight.line < 1:
            raise ValueError("a span begins or ends where there is nothing")
        Tally.from_bytes(flight.tally)
        load_state(reducer, flight.state)
    if any(flight.end is None or flight.end > following.start for flight, following in pairwise(flights)):
        raise ValueError("spans of one download overlap")
    try:
        for header in {flight.header for flight in flights} | {flight.entered.header for flight in flights} - {None}:
            schema.decoder(header, download_id=download_id)
    except HeaderError:
        raise ValueError("the header that it goes on with does not name the columns") from None
