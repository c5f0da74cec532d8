"""What came of what: a run's accounts, its merged states, the downloads in flight; and its checkpoint.

Rules: a state is looked into only while nobody changes it: a span's while its turn is held, the merged ones while
`merging` is. What is slow happens in the run's own threads, so when those have ended nothing is being saved any more.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Generic, TypeVar

from mockexport.errors import CheckpointError, reducer_at_work
from mockexport.events import CheckpointSaved, Listener, Restored
from mockexport.formats.format import Format
from mockexport.model import Export, Verdict
from mockexport.pipeline.checking import check_saved
from mockexport.pipeline.checkpoint import Belonging, Checkpoint, Saved, SavedRun
from mockexport.pipeline.download import DownloadRun
from mockexport.pipeline.ranges import RangeMerger, merging
from mockexport.pipeline.span import Begun
from mockexport.pipeline.variety import Limited
from mockexport.reducers import load_state
from mockexport.report.account import DownloadAccount
from mockexport.report.overlaps import MAX_REACHES, without_reaches

__all__ = ["Ledger"]

S = TypeVar("S")


class Ledger(Generic[S]):
    """The merged states and accounts of a run, and its checkpoint if it has one.

    Args:
        reducer: in the engine's form.
        checkpoint: the file, None to keep nothing.
        every_s: how often to save.
        emit: called with events.
    """

    def __init__(self, reducer: Limited[S, Any], checkpoint: Checkpoint | None, every_s: float, emit: Listener) -> None:
        self.merging: asyncio.Lock = asyncio.Lock()
        self.in_flight: dict[str, DownloadRun[S, Any]] = {}
        self.begun: dict[str, Begun] = {}  # of downloads that are not in flight and have no verdict that counts
        self.accounts: dict[str, DownloadAccount] = {}
        # What another run is to replace is not merged with its neighbours.
        self.keeps_apart: bool = checkpoint is not None
        self._merger: RangeMerger[S] = RangeMerger(merging(reducer))
        self._groups = 0  # to be compared, of all downloads
        self._reducer = reducer
        self._checkpoint = checkpoint
        self._every_s = every_s
        self._emit = emit
        self._belonging: Belonging | None = None

    def load(self, belonging: Belonging | None, export: Export, schema: Format) -> Saved:
        """Return what an earlier run has saved; what follows is saved as that `belonging`, None without a checkpoint.

        Raises:
            CheckpointError: it cannot be used.
        """
        self._belonging = belonging
        if self._checkpoint is None or belonging is None:
            return Saved()
        saved = self._checkpoint.load(belonging)
        try:
            check_saved(saved, export, schema, self._reducer)
        except ValueError as problem:
            raise CheckpointError(self._checkpoint.path, f"it was altered: {problem}") from problem
        return saved

    def restore(self, saved: Saved) -> None:
        """Take over what an earlier run has saved.

        Raises:
            OutputError: a new checkpoint cannot be written.
        """
        for run in saved.runs:
            self._merger.add(run.start, run.end, load_state(self._reducer, run.state))
        for account in saved.finished:
            self._note(account)
            if account.verdict.unasked:
                continue
            self._emit(Restored(account.download_id, account.received_bytes, account.rows, finished=True))
        self.begun |= saved.begun
        # At once: a folder that cannot be written to is better known before the morning is over.
        self.save_now()

    def skip(self, position: int, account: DownloadAccount) -> None:
        """Take note of a download in which nothing is asked for: its place is merged as empty."""
        self._leave_empty(position)
        self.accounts[account.download_id] = account

    def _leave_empty(self, position: int) -> None:
        self._merger.add(position, position + 1, self._empty())

    def _empty(self) -> S:
        with reducer_at_work(self._reducer, "empty"):
            return self._reducer.empty()

    async def land(self, verdict: Verdict, download: DownloadRun[S, Any], *, compared: bool = False) -> DownloadAccount:
        """Merge a download that has its verdict, and may be `compared` with others; return its account."""
        position, download_id = download.position, download.download.id
        async with self.merging, download.at_rest():  # its state may be being saved
            # Of its own state, before others are merged into that.
            account = download.account(verdict, compared=MAX_REACHES - self._groups if compared else None)
            self._note(account)
            del self.in_flight[download_id]
            if self._checkpoint is not None and not verdict.counts and (begun := download.begun()) is not None:
                # Another run may have more luck, and begin where this one got to.
                self.begun[download_id] = begun
            if verdict.complete or (verdict.counts and not self.keeps_apart):
                await self._merge(position, download.landed.state)
            elif verdict.counts:
                self._merger.add_apart(position, download.landed.state)
            elif not self.keeps_apart:  # else another run tries again, so its place must stay free
                self._leave_empty(position)
        return account

    async def _merge(self, position: int, state: S) -> None:
        """Merge a state whose account is noted, a large one beside the event loop; to the end, also when cancelled."""
        if not self._reducer.is_large(state):
            self._merger.add(position, position + 1, state)
            return
        merge = asyncio.ensure_future(asyncio.to_thread(self._merger.add, position, position + 1, state))
        try:
            await asyncio.shield(merge)
        finally:
            if not merge.done():
                await asyncio.wait([merge])

    def _note(self, account: DownloadAccount) -> None:
        """Take the account of a download; with too many groups to compare, in all of them, drop how far these reach."""
        self.accounts[account.download_id] = account
        if account.verdict.complete:
            self.begun.pop(account.download_id, None)
        if account.reached is None:
            return
        before, self._groups = self._groups, self._groups + account.reached.groups
        if self._groups > MAX_REACHES:
            for each in [account] if before > MAX_REACHES else list(self.accounts.values()):
                if each.reached is not None and each.reached.reaches:
                    self.accounts[each.download_id] = replace(each, reached=without_reaches(each.reached))

    def brought(self) -> list[SavedRun]:
        """Return the merged states as bytes, and those that are kept apart: for another process to merge on."""
        apart = [SavedRun(at, at + 1, self._reducer.dump(state)) for at, state in self._merger.apart()]
        return self._saved_runs() + apart

    def _saved_runs(self) -> list[SavedRun]:
        return [
            SavedRun(start, end, self._reducer.dump(state))
            for start, end, state in self._merger.runs()
            if end is not None  # there is none without, of positions
        ]

    async def take_in(self, accounts: Iterable[DownloadAccount], runs: Iterable[SavedRun], apart: set[int]) -> None:
        """Merge what others have brought; `apart` are the positions of what another run is to replace."""
        async with self.merging:
            for run in runs:
                state = load_state(self._reducer, run.state)
                if self.keeps_apart and run.start in apart:
                    self._merger.add_apart(run.start, state)
                else:
                    self._merger.add(run.start, run.end, state)
            for account in accounts:
                self._note(account)

    def copied(self, copy: Callable[[S], S]) -> RangeMerger[S]:
        """Return a copy of what is merged, made state by state; to be asked for while `merging` is held."""
        return self._merger.copy(copy)

    def merged(self, merger: RangeMerger[S] | None = None) -> S:
        """Take all states out, of the run or of a copy, merged in time order."""
        merged = (merger or self._merger).take()
        return self._empty() if merged is None else merged

    async def keep_saving(self, threads: ThreadPoolExecutor) -> None:
        """Save every few seconds until cancelled."""
        loop = asyncio.get_running_loop()
        while self._checkpoint is not None:
            await asyncio.sleep(self._every_s)
            begun = {}
            for download_id, download in list(self.in_flight.items()):
                if (left := await self._begun(download, threads)) is not None:
                    begun[download_id] = left
            async with self.merging:
                saved = await loop.run_in_executor(threads, self._saved, begun)
            await loop.run_in_executor(threads, self._save, saved)
            self._emit(CheckpointSaved(len(saved.finished), len(saved.begun)))

    async def _begun(self, download: DownloadRun[S, Any], threads: ThreadPoolExecutor) -> Begun | None:
        """Return what is to be saved of a download in flight, None if it begins again meanwhile."""
        loop, attempt = asyncio.get_running_loop(), download.attempt
        # What has landed goes first: a span that lands in between is fetched again, and not there twice.
        async with download.landing:
            if self.in_flight.get(download.download.id) is not download:
                return None  # it has been merged
            spans = await loop.run_in_executor(threads, download.landed.saved)
        for run in list(download.runs):
            async with run.turn:
                held = await loop.run_in_executor(threads, run.saved)
            if held is not None and run in download.runs:
                spans.append(held)
        if download.attempt != attempt or download.mark is None or not spans:
            return None
        return Begun(download.mark, tuple(spans))

    def _saved(self, begun: Mapping[str, Begun]) -> Saved:
        finished = {i: account for i, account in self.accounts.items() if account.verdict.complete}
        left = {i: each for i, each in {**self.begun, **begun}.items() if i not in finished}
        return Saved(tuple(finished.values()), tuple(self._saved_runs()), left)

    def _save(self, saved: Saved) -> None:
        if self._checkpoint is not None and self._belonging is not None:
            self._checkpoint.save(self._belonging, saved)

    def save_now(self) -> None:
        """Save, with everything at rest."""
        if self._checkpoint is not None:
            begun = {i: download.begun() for i, download in self.in_flight.items()}
            self._save(self._saved({i: each for i, each in begun.items() if each is not None}))

    def conclude(self) -> None:
        """Leave a checkpoint only where another run has something left to do."""
        if self._checkpoint is None:
            return
        if all(account.verdict.complete for account in self.accounts.values()):
            self._checkpoint.remove()
        else:
            self.save_now()
