"""What workers tell becomes the events of one run: each once, in order, whatever comes late or not at all."""

import gc
import weakref
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from mockexport.distributed.following import Following
from mockexport.distributed.tasks import Result, Task
from mockexport.events import Advanced, DownloadStarted, Event, Opened, Retried, WorkerLost
from mockexport.model import Download
from mockexport.pipeline.options import RunOptions
from mockexport.pipeline.sharing import Share
from mockexport.reducers import Summary

SHARE = Share("x", ((0, Download("a")), (1, Download("b"))), {})
HAPPENED: tuple[Event, ...] = (
    DownloadStarted("a"), Opened("a", True, 100), Retried("a", 1, 0.5, "why", 10, None), DownloadStarted("b"),
    Opened("b", True, 50), Retried("b", 1, 0.5, "why", 10, None), Retried("b", 2, 0.5, "why", 20, None),
)  # fmt: skip


def following(told: list[Event], tasks: int = 1) -> Following:
    made = Following(told.append)
    for number in range(tasks):
        made.expect(Task("run", number, SHARE, Summary(), {}, RunOptions(), 0))
    return made


def tell(to: Following, token: str, place: int | None, event: Event, *, number: int = 0, worker: str = "w1") -> None:
    values: list[Any] = list(astuple(event))
    to.hear((0.0, (number, token, worker, f"tcp://{worker}", place, type(event).__name__, values)))
    assert to.error is None


@given(st.lists(st.integers(0, len(HAPPENED) - 1)), st.lists(st.integers(0, len(HAPPENED) - 1)))
@settings(max_examples=60)
def test_every_event_is_told_once_and_in_order_whatever_is_late_or_doubled(before: list[int], after: list[int]) -> None:
    told: list[Event] = []
    follow = following(told)
    for place in before:
        tell(follow, "t", place, HAPPENED[place])
    follow.finish(0, Result(None, None, "t", HAPPENED))
    for place in after:
        tell(follow, "t", place, HAPPENED[place])
    assert told == list(HAPPENED)


def test_they_are_told_at_once_when_they_come_in_order() -> None:
    told: list[Event] = []
    follow = following(told)
    for place, event in enumerate(HAPPENED):
        tell(follow, "t", place, event)
        assert told[-1] == event


@given(st.integers(1, len(HAPPENED)), st.integers(0, len(HAPPENED)), st.booleans())
@settings(max_examples=60)
def test_what_a_lost_worker_told_stays_and_nothing_of_it_comes_later(lost: int, told_live: int, noticed: bool) -> None:
    told: list[Event] = []
    follow = following(told)
    for place in range(lost):
        tell(follow, "t1", place, HAPPENED[place])
    tell(follow, "t1", None, Advanced("a", 70, 7))
    if noticed:
        follow.missing({"tcp://w2"}, lambda number: number == 0)
        follow.missing({"tcp://w2"}, lambda number: number == 0)
    for place in range(told_live):
        tell(follow, "t2", place, HAPPENED[place], worker="w2")
        tell(follow, "t1", lost, HAPPENED[min(lost, len(HAPPENED) - 1)])
    tell(follow, "t1", None, Advanced("a", 80, 8))
    follow.finish(0, Result(None, None, "t2", HAPPENED))
    started = [event for event in told if isinstance(event, DownloadStarted)]
    assert started == [DownloadStarted("a"), DownloadStarted("b")]
    losses = [event for event in told if isinstance(event, WorkerLost)]
    downloads = tuple(event.download_id for event in HAPPENED[:lost] if isinstance(event, DownloadStarted))
    if noticed or told_live:
        assert losses == [WorkerLost("tcp://w1", downloads)]
        assert Advanced("a", 80, 8) not in told
        at = told.index(losses[0])
        assert Advanced("a", 0, 0) in told[at:]
        again = [event for event in told[at + 1 :] if not isinstance(event, Advanced | DownloadStarted)]
        assert again == [event for event in HAPPENED if not isinstance(event, DownloadStarted)]


def test_a_worker_that_is_lost_is_one_event_for_all_that_it_had_in_hand() -> None:
    told: list[Event] = []
    follow = following(told, 3)
    tell(follow, "t0", 0, DownloadStarted("a"), number=0)
    tell(follow, "t1", 0, DownloadStarted("b"), number=1)
    tell(follow, "t2", 0, DownloadStarted("b"), number=2, worker="w2")
    tell(follow, "t1", None, Advanced("b", 10, 1), number=1)
    tell(follow, "t2", None, Advanced("b", 20, 2), number=2, worker="w2")
    tell(follow, "t3", 0, DownloadStarted("a"), number=0, worker="w2")
    assert [event for event in told if isinstance(event, WorkerLost)] == [WorkerLost("tcp://w1", ("a", "b"))]
    assert [event for event in told if isinstance(event, Advanced)][-1] == Advanced("b", 20, 2)


def test_a_run_that_is_over_hears_nothing() -> None:
    told: list[Event] = []
    follow = following(told)
    follow.close()
    tell(follow, "t", 0, HAPPENED[0])
    assert told == []


def test_a_run_that_is_over_is_not_held_by_those_who_might_still_tell_of_it() -> None:
    class Run:
        def emit(self, event: Event) -> None:
            pass

    run = Run()
    gone = weakref.ref(run)
    follow = Following(run.emit)
    follow.close()
    del run
    gc.collect()
    assert gone() is None
