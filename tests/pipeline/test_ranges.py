"""States are merged in time order, whatever the order in which they come, and few are held meanwhile."""

from hypothesis import given
from hypothesis import strategies as st

from mockexport import Batch, Result
from mockexport.pipeline.ranges import Merger


class Order:
    """A reducer whose merge is associative but not commutative: it remembers the order."""

    fingerprint = "order 1"

    def empty(self) -> str:
        return ""

    def update(self, state: str, batch: Batch) -> str:
        return state + "".join(batch.patient_ids)

    def merge(self, earlier: str, later: str) -> str:
        return earlier + later

    def dump(self, state: str) -> bytes:
        return state.encode()

    def load(self, data: bytes) -> str:
        return data.decode()

    def result(self, state: str) -> Result[str]:
        return Result({}, {"all": state})


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)))
def test_states_are_merged_in_time_order(order: list[int], failed: set[int]) -> None:
    merger: Merger[str] = Merger(Order())
    for position in order:
        if position in failed:
            merger.skip(position)
        else:
            merger.add(position, str(position))
    assert merger.merged() == "".join(str(position) for position in range(8) if position not in failed)
    assert merger.held == 1


@given(st.integers(1, 5), st.randoms(use_true_random=False))
def test_no_more_states_are_held_than_downloads_in_flight_part(in_flight: int, random: object) -> None:
    merger: Merger[str] = Merger(Order())
    waiting = list(range(30))
    flying: list[int] = []
    while waiting or flying:
        while waiting and len(flying) < in_flight:
            flying.append(waiting.pop(0))
        merger.add(flying.pop(random.randrange(len(flying))), "x")  # type: ignore[attr-defined]
        assert merger.held <= in_flight


def test_nothing_merges_to_the_empty_state() -> None:
    assert Merger(Order()).merged() == ""
