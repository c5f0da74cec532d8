"""Of a resource that comes several times, one version counts, however the rows were split and in whatever order."""

import random
import tempfile
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from mockexport.errors import OutputError
from mockexport.formats.batch import UPDATED_UNKNOWN, Batch, Identified, Identity
from mockexport.formats.filters import Filter
from mockexport.model import VALUE_SCALE
from mockexport.reducers import Counts, Latest, Summary
from mockexport.reducers.latest import Records

Version = tuple[int, int, int, tuple[int, ...]]  # which resource, version, when updated, values


def batch_of(*versions: Version) -> Identified:
    batch = Identified()
    for number, version, updated, values in versions:
        key = number.to_bytes(16, "big")
        if not values:
            batch.rowless.append(Identity(key, version, updated))
        for place, value in enumerate(values):
            batch.patient_ids.append(f"P{number % 3}")
            batch.event_times.append(value * 1000)
            batch.event_types.append("a" if place == 0 else "b")
            batch.values.append(value * VALUE_SCALE)
            batch.keys.append(key)
            batch.versions.append(version)
            batch.updated.append(updated)
            batch.places.append(place)
    return batch


def lacking(*missing: tuple[int, int, str]) -> Identified:
    """A batch of resources without rows: which, version, and the type of the value that is missing."""
    identities = [(Identity(number.to_bytes(16, "big"), version, 0), name) for number, version, name in missing]
    return Identified(rowless=list(dict.fromkeys(identity for identity, _ in identities)), absent=identities)


def state_of(latest: Latest[Any, Any], *versions: Version) -> Records[Any]:
    return latest.update(latest.empty(), batch_of(*versions))


def values_of(*versions: Version) -> tuple[float, ...]:
    """What counts in the end, of type a."""
    latest = Latest(Summary())
    totals = latest.result(state_of(latest, *versions)).totals
    return (totals["a"].count, totals["a"].mean) if "a" in totals else (0,)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([(1, 1, 0, (5,)), (1, 1, 0, (5,))], (1, 5)),
        ([(1, 2, 0, (5,)), (1, 1, 9, (6,))], (1, 5)),
        ([(1, 10, 0, (5,)), (1, 9, 0, (6,))], (1, 5)),
        ([(1, 0, 7, (5,)), (1, 0, 8, (6,))], (1, 6)),
        ([(1, 0, UPDATED_UNKNOWN, (5,)), (1, 0, UPDATED_UNKNOWN, (6,))], (1, 6)),
        ([(1, 1, 0, (5,)), (1, 2, 0, ())], (0,)),  # entered in error since
        ([(1, 1, 0, ()), (1, 2, 0, (5,))], (1, 5)),
        ([(1, 1, 0, (5,)), (2, 1, 0, (7,))], (2, 6)),
    ],
)
def test_the_latest_version_counts_in_either_order(versions: list[Version], expected: tuple[float, ...]) -> None:
    assert values_of(*versions) == values_of(*reversed(versions)) == expected


def test_a_later_version_with_fewer_rows_takes_the_others_away() -> None:
    latest = Latest(Summary())
    result = latest.result(state_of(latest, (1, 1, 0, (5, 6)), (1, 2, 0, (7,)), (2, 1, 0, (8, 9))))
    assert {name: figures.count for name, figures in result.totals.items()} == {"a": 2, "b": 1}
    assert result.totals["b"].mean == 9


def test_how_many_came_again_is_noted() -> None:
    latest = Latest(Summary())
    result = latest.result(state_of(latest, (1, 1, 0, (5,)), (1, 1, 0, (5,)), (2, 1, 0, (5,)), (2, 2, 0, (6,))))
    assert result.notes == (
        "2 observations came more than once, by their ids, and count once; of 1 of them the latest version",
    )
    assert latest.result(state_of(latest, (1, 1, 0, (5,)))).notes == ()


def test_different_ones_of_the_same_version_are_noted() -> None:
    latest = Latest(Counts())
    same = (1, 1, 0, (5,))
    told = "of {} of them it cannot be told which is the latest: they differ, and one counts"
    assert (
        told.format(2)
        in latest.result(state_of(latest, same, (1, 1, 0, (6,)), (2, 0, 0, (1,)), (2, 0, 0, ()))).notes[0]
    )
    assert "they differ" not in latest.result(state_of(latest, same, same, (1, 2, 0, (6,)))).notes[0]


def test_what_is_asked_for_is_looked_at_last() -> None:
    # The correction is of another time: what it corrects must not count in its place.
    latest = Latest(Summary(), Filter(until_us=6000))
    assert latest.result(state_of(latest, (1, 1, 0, (5,)), (1, 2, 0, (7,)))).totals == {}


def test_rows_without_an_id_count_each() -> None:
    latest = Latest(Summary(), Filter(until_us=6000))
    batch = batch_of((1, 0, UPDATED_UNKNOWN, (5,)), (1, 0, UPDATED_UNKNOWN, (5,)), (2, 1, 0, (5,)), (3, 0, 0, (7,)))
    batch.keys[:2] = [b"", b""]
    batch.keys[3] = b""
    assert latest.result(latest.update(latest.empty(), batch)).totals["a"].count == 3
    plain = Batch(["P"], [1], ["a"], [VALUE_SCALE])
    assert latest.result(latest.update(latest.empty(), plain)).totals["a"].count == 1


def test_it_comes_to_the_same_however_rows_are_split_merged_and_saved() -> None:
    draw = random.Random(7)
    latest: Latest[Any, Any] = Latest(Counts())
    for _ in range(30):
        versions: list[Version] = [
            (draw.randrange(8), draw.randrange(3), draw.randrange(3), tuple(range(1, 1 + draw.randrange(3))))
            for _ in range(20)
        ]
        expected = latest.result(state_of(latest, *versions))
        borders = sorted(draw.sample(range(21), 3))
        pieces = [versions[start:end] for start, end in zip([0, *borders], [*borders, 20], strict=True)]
        states = [latest.load(latest.dump(state_of(latest, *piece))) for piece in pieces]
        merged = reduce(latest.merge, states, latest.empty())
        assert latest.result(merged) == expected
        shuffled = draw.sample(versions, 20)
        assert latest.result(state_of(latest, *shuffled)) == expected


def test_results_leave_the_state_alone() -> None:
    latest = Latest(Summary())
    state = state_of(latest, (1, 1, 0, (5,)), (1, 2, 0, (6,)))
    assert latest.result(state) == latest.result(state)
    assert len(state) == 2


@pytest.mark.parametrize("cut", [0, 1, 30, -1])
def test_bytes_that_are_no_state_are_refused(cut: int) -> None:
    latest: Latest[Any, Any] = Latest(Summary())
    data = latest.dump(state_of(latest, (1, 1, 0, (5,)), (2, 1, 0, (6,))))
    with pytest.raises((ValueError, KeyError, TypeError)):
        latest.load(data[:cut])


@pytest.mark.parametrize("memory_rows", [1, 2, 5, 16])
def test_rows_beyond_a_number_go_to_a_file_without_a_name_and_come_to_the_same(
    memory_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    draw = random.Random(memory_rows)
    held: Latest[Any, Any] = Latest(Summary())
    spilling: Latest[Any, Any] = Latest(Summary(), memory_rows=memory_rows)
    for _ in range(20):
        pieces: list[list[Version]] = [
            [(draw.randrange(9), draw.randrange(3), draw.randrange(3), tuple(range(1, 1 + draw.randrange(4))))
             for _ in range(draw.randrange(12))]
            for _ in range(4)
        ]  # fmt: skip
        missing = lacking((1, 1, "a"), (1, 2, "b"), (7, 1, "a"))
        both = []
        for latest in (held, spilling):
            states = [state_of(latest, *piece) for piece in pieces]
            states[1] = latest.update(states[1], missing)
            loaded = [latest.load(latest.dump(state)) for state in states]
            merged = reduce(latest.merge, [*states[:2], *loaded[2:]], latest.empty())
            both.append((latest.result(merged), latest.dump(merged), len(merged)))
            assert latest is held or merged.rows.spilled > len(merged) - memory_rows
        assert both[0] == both[1]
        assert not list(tmp_path.iterdir())


def test_the_file_is_closed_with_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    latest: Latest[Any, Any] = Latest(Counts(), memory_rows=1)
    for _ in range(50):
        assert state_of(latest, (1, 1, 0, (5,)), (2, 1, 0, (5,))).rows.spilled == 2
    assert not before or len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_a_disk_without_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match=r"nowhere: No such file.*TMPDIR"):
        state_of(Latest(Counts(), memory_rows=1), (1, 1, 0, (5,)))


@pytest.mark.parametrize(
    ("versions", "missing", "outdated"),
    [
        ([(1, 2, 0, (5,))], [(1, 1, "a")], {"a": 1}),  # the value came later
        ([(1, 1, 0, (5,))], [(1, 2, "a")], {}),  # and was withdrawn
        ([], [(1, 1, "a"), (1, 2, "a")], {"a": 1}),
        ([], [(1, 1, "a"), (1, 2, "b")], {"a": 1}),
        ([(2, 1, 0, (5,))], [(1, 1, "a")], {}),
        ([(1, 3, 0, (5,)), (1, 4, 0, (5,))], [(1, 1, "a"), (1, 2, "b"), (3, 1, "a")], {"a": 1, "b": 1}),
    ],
)
def test_missing_values_are_those_of_the_latest_version(
    versions: list[Version], missing: list[tuple[int, int, str]], outdated: dict[str, int]
) -> None:
    latest = Latest(Counts())
    for batches in ([batch_of(*versions), lacking(*missing)], [lacking(*missing), batch_of(*versions)]):
        state = reduce(latest.update, batches, latest.empty())
        assert latest.result(state).outdated == outdated


def test_the_same_version_twice_lacks_its_values_once() -> None:
    latest = Latest(Counts())
    state = reduce(latest.update, [lacking((1, 1, "a"), (1, 1, "b"))] * 3, latest.empty())
    assert latest.result(state).outdated == {"a": 2, "b": 2}
