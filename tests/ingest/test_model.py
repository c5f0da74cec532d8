"""The store against a dict in memory, driven by Hypothesis through everything that can happen to it."""

import asyncio
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mockexport.ingest.bridge import SnapshotId
from mockexport.ingest.devices import time_text
from mockexport.ingest.errors import NothingThere
from mockexport.ingest.readings import DAY_US, MINUTE_US, Reading
from mockexport.ingest.settings import DEFAULT_PRIORITY, Settings
from mockexport.ingest.snapshots import Wanted
from mockexport.ingest.store import Store
from tests.ingest.stored import DAY, NOON_US, Rates, all_rows, answer, expected_minutes, write

USERS = ("ann", "bob")
DEVICES = ("device_a", "device_b", "watch", "band")
# A few minutes around midnight, so that keys meet and days differ; some on the microsecond of a minute's edge.
MIDNIGHT_US = (DAY + 1) * DAY_US
times = st.one_of(
    st.integers(-4, 4).map(lambda minute: MIDNIGHT_US + minute * MINUTE_US),
    st.integers(-24, 24).map(lambda step: MIDNIGHT_US + step * 10_000_000),
    st.integers(-3 * MINUTE_US, 3 * MINUTE_US).map(lambda shift: MIDNIGHT_US + shift),
    st.sampled_from([NOON_US - 5 * DAY_US, NOON_US, NOON_US + 3 * DAY_US]),
)
readings = st.builds(Reading, st.sampled_from(USERS), st.sampled_from(DEVICES), times, st.integers(30, 220))
priorities = st.one_of(
    st.just(dict(DEFAULT_PRIORITY)),
    st.dictionaries(st.sampled_from(DEVICES), st.integers(1, 3), max_size=4),
)


def _micros(moment: object) -> int:
    assert isinstance(moment, datetime)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class Service(RuleBasedStateMachine):
    """Posts, batches, repeats, conflicts, late data, deletions, compactions, crashes, restarts, changes of priority."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.lives = 0
        self.folder = self.root / "0"
        self.store = Store(Settings(data=self.folder))
        self.rates: Rates = {}
        self.last: list[Reading] = []
        self.snapshots: dict[SnapshotId, list[tuple[object, ...]] | None] = {}
        self.deleted = False
        self.priority = dict(DEFAULT_PRIORITY)

    def _write(self, batch: list[Reading]) -> None:
        write(self.store, batch)
        for reading in batch:
            self.rates[reading[:3]] = reading.heart_rate
        self.last = batch

    @rule(reading=readings)
    def post(self, reading: Reading) -> None:
        self._write([reading])

    @rule(batch=st.lists(readings, min_size=1, max_size=25))
    def batch(self, batch: list[Reading]) -> None:
        self._write(batch)

    @precondition(lambda self: self.last)
    @rule()
    def send_again(self) -> None:
        self._write(self.last)

    @precondition(lambda self: self.rates)
    @rule(data=st.data(), rate=st.integers(30, 220))
    def contradict(self, data: st.DataObject, rate: int) -> None:
        key = data.draw(st.sampled_from(sorted(self.rates)))
        self._write([Reading(*key, rate)])

    @rule(user=st.sampled_from(USERS), first=times, span=st.sampled_from([0, MINUTE_US, 2 * DAY_US, 1 << 50]))
    def delete(self, user: str, first: int, span: int) -> None:
        wanted = Wanted(first, first + span, user)
        self.deleted = True
        gone = [key for key in self.rates if key[0] == user and first <= key[2] <= first + span]
        assert asyncio.run(self.store.delete(wanted)) == len(gone)
        for key in gone:
            del self.rates[key]
        for snapshot, rows in self.snapshots.items():
            # One that showed any of it is gone; any other is what it was, or gone because it would show something else.
            if rows is not None and any(row[0] == user and first <= _micros(row[2]) <= first + span for row in rows):
                self.snapshots[snapshot] = None

    @rule()
    def compact(self) -> None:
        self.store.compactor.compact()
        assert self.store.journal.depth == 0

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = Store(Settings(data=self.folder))

    @rule()
    def crash(self) -> None:
        # What a killed process leaves: the files as they are, the log not yet moved into the database.
        self.lives += 1
        after = self.root / str(self.lives)
        shutil.copytree(self.folder, after, ignore=shutil.ignore_patterns("*-shm"))
        self.store.close()
        shutil.rmtree(self.folder)
        self.folder = after
        self.store = Store(Settings(data=after))

    @rule(priority=priorities)
    def change_priority(self, priority: dict[str, int]) -> None:
        self.priority = priority

    @rule()
    def take_snapshots(self) -> None:
        for day, seq in self.store.queries.days().highest.items():
            snapshot = SnapshotId(day, seq)
            rows = self._rows(snapshot)
            assert rows is not None, "a snapshot is gone that has just been listed"
            self.snapshots.setdefault(snapshot, rows)

    def _rows(self, snapshot: SnapshotId) -> list[tuple[object, ...]] | None:
        try:
            return self.store.queries.rows(snapshot.wanted).drop("seq").rows()
        except NothingThere:
            return None

    @rule(
        user=st.sampled_from(USERS),
        first=times,
        span=st.integers(0, 2 * DAY_US),
        device=st.none() | st.sampled_from(DEVICES),
    )
    def ask(self, user: str, first: int, span: int, device: str | None) -> None:
        found = answer(self.store, user, first, first + span, device, self.priority)
        assert found == expected_minutes(self.rates, user, first, first + span, device, self.priority)
        assert all(str(entry["timestamp"]) >= time_text(first // MINUTE_US * MINUTE_US) for entry in found)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        assert all_rows(self.store) == self.rates

    @invariant()
    def a_snapshot_stays_what_it_was(self) -> None:
        for snapshot, rows in self.snapshots.items():
            found = self._rows(snapshot)
            assert found is None or found == rows, snapshot
            # Gone once is gone for good; and without a deletion none goes.
            assert found is not None or rows is None or self.deleted, snapshot

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            shutil.rmtree(self.root)


TestService = Service.TestCase
TestService.settings = settings(
    max_examples=25, stateful_step_count=18, deadline=None, suppress_health_check=list(HealthCheck)
)
