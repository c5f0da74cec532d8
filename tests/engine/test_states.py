"""States that are told lies: by bytes that somebody else wrote, by ids that are none, by two threads at once."""

import json
from typing import Any

import pytest

from mockexport import Reducer, Schema, Selection, StateError, Summary, pack_state, unpack_state
from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.formats import CsvDecoder
from mockexport.model import Chunk, Span
from tests.fuzz.comparing import EVERYTHING
from tests.rows import HEADER

if kernel_problem() is not None:
    pytest.skip("there is no kernel here", allow_module_level=True)

from mockexport import _kernel
from mockexport._kernel import ColumnScan, Crew, RowFilter, Scan, State
from mockexport.engine.kernel import new_scan

LONG = "x" * 5_000
GOOD = ["P", "t", 2, 7, 3, 4, 0, 5, 6]
# The same values with every family.
WHOLE = [*GOOD, 25, [0, 3, 1, 4, 1], [0, 0, 2], [0, 0, 2]]


def twin(reducer: Reducer[Any, Any]) -> Reducer[Any, Any]:
    return choose_engine(reducer, Schema()).reducer


def changed(row: list[Any], *changes: Any) -> list[list[Any]]:
    """A state of one group of which some numbers, given as place and number in turn, are others."""
    row = list(row)
    for place, number in zip(changes[::2], changes[1::2], strict=True):
        row[place] = number
    return [row]


def loaded(reducer: Reducer[Any, Any], rows: Any) -> Any:
    """The state of some rows, by way of bytes."""
    packed = pack_state(reducer, reducer.empty())
    return unpack_state(reducer, packed[: packed.rindex(b"\n") + 1] + json.dumps(rows).encode())


both = pytest.mark.parametrize("engine", ["reference", "kernel"])


@both
@pytest.mark.parametrize(
    "rows",
    [
        changed(GOOD, 0, LONG),
        changed(GOOD, 1, LONG),
        changed(GOOD, 0, "é" * 129),
        changed(GOOD, 0, ""),
        changed(GOOD, 1, "\ud800"),
        changed(GOOD, 0, 5),
        [GOOD, GOOD],
        [*changed(GOOD, 0, "Q"), GOOD],
        [*changed(GOOD, 1, "u"), GOOD],
        changed(GOOD, 2, 0),
        changed(GOOD, 2, -1),
        changed(GOOD, 2, True),
        changed(GOOD, 2, 2.0),
        changed(GOOD, 2, 2**64),
        changed(GOOD, 2, 10**15 + 1, 3, 4 * 10**15),
        changed(GOOD, 3, 5),
        changed(GOOD, 3, 9),
        changed(GOOD, 4, 5),
        changed(GOOD, 4, -(2**63), 3, -(2**63)),
        changed(GOOD, 5, 2**63),
        changed(GOOD, 6, 3),
        changed(GOOD, 6, -1),
        changed(GOOD, 7, 7),
        changed(GOOD, 8, 2**63),
        [GOOD[:-1]],
        [[*GOOD, 1]],
    ],
    ids=str,
)
def test_a_group_that_no_rows_come_to_is_refused(engine: str, rows: Any) -> None:
    reducer: Reducer[Any, Any] = Summary() if engine == "reference" else twin(Summary())
    assert reducer.dump(loaded(reducer, [GOOD])) == json.dumps([GOOD]).encode()
    with pytest.raises(StateError):
        loaded(reducer, rows)


@both
@pytest.mark.parametrize(
    "rows",
    [
        changed(WHOLE, 9, -1),
        changed(WHOLE, 9, 24),
        changed(WHOLE, 9, 2**126),
        changed(WHOLE, 10, [0, 3, 1, 4, 2]),
        changed(WHOLE, 10, [0, 3, 2**64 - 1, 4, 3]),
        changed(WHOLE, 10, [0, 3, -1, 4, 3]),
        changed(WHOLE, 10, [0, 4, 1, 3, 1]),
        changed(WHOLE, 10, [0, 3, 1, 3, 1]),
        changed(WHOLE, 10, [0, 3, 1, 4]),
        changed(WHOLE, 10, [1, 2**40 + 1, 2]),
        changed(WHOLE, 10, [0, 3.0, 1, 4, 1]),
        changed(WHOLE, 10, [0, *[n for value in range(4097) for n in (value, 1)]], 2, 4097, 3, 4 * 4097),
        changed(WHOLE, 11, [0, 0, 1]),
        changed(WHOLE, 11, [1, 0, 2]),
        changed(WHOLE, 11, [0, 2**63, 2]),
        changed(WHOLE, 12, [0]),
        changed(WHOLE, 12, []),
    ],
    ids=lambda rows: str(rows)[:80],
)
def test_families_that_no_rows_come_to_are_refused(engine: str, rows: Any) -> None:
    reducer: Reducer[Any, Any] = EVERYTHING if engine == "reference" else twin(EVERYTHING)
    assert reducer.dump(loaded(reducer, [WHOLE])) == json.dumps([WHOLE]).encode()
    with pytest.raises(StateError):
        loaded(reducer, rows)


@both
def test_bytes_that_are_nested_without_end_are_refused(engine: str) -> None:
    reducer: Reducer[Any, Any] = Summary() if engine == "reference" else twin(Summary())
    packed = pack_state(reducer, reducer.empty())
    with pytest.raises(StateError):
        unpack_state(reducer, packed[: packed.rindex(b"\n") + 1] + b"[" * 200_000)


def test_ids_that_no_row_can_have_do_not_get_into_the_kernel() -> None:
    state = State([(b"spo2", 85, 100)])
    # Ever longer ones overran the memory that ids are kept in.
    for name in (LONG, "y" * 257, ""):
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            state.put(name, "t", 1, 3, 3, 3, 0, 5, 5)
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            state.add_rows(["P"], [5], [name], [3])
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            State([(name.encode(), 0, 1)])
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            RowFilter(None, None, [name.encode()], None)
    names = sorted(f"{number:0256}" for number in range(200))
    for name in names:
        state.put(name, name, 1, 3, 3, 3, 0, 5, 5)
    assert (state.patients(1000), state.types(1000)[-200:]) == (["P", *names], names)


def test_a_group_is_set_once_and_of_integers() -> None:
    state = State([], ["squares"])
    state.put("P", "t", 2, 7, 3, 4, 0, 5, 6, 25)
    with pytest.raises(ValueError, match="there twice"):
        state.put("P", "t", 2, 7, 3, 4, 0, 5, 6, 25)
    for total in (7.0, "7", True, 2**127):
        with pytest.raises(ValueError, match="no integer of 128 bits"):
            state.put("Q", "t", 2, total, 3, 4, 0, 5, 6, 25)  # type: ignore[arg-type]
    assert json.loads(state.dump()) == [[*GOOD, 25]]


def test_numbers_are_read_before_groups_are_looked_at() -> None:
    state = State([])

    class Meddling:
        """A number that adds ten thousand groups, which moves all there are, as it is asked what it is."""

        def __index__(self) -> int:
            state.add_rows([f"P{number}" for number in range(10_000)], [1] * 10_000, ["t"] * 10_000, [1] * 10_000)
            return 5

    state.add_rows(["P"], [Meddling()], ["t"], [Meddling()])  # type: ignore[list-item]
    assert state.row(len(state) - 1) == ("P", "t", 1, 5, 5, 5, 0, 5, 5)


def test_states_of_other_families_are_not_merged() -> None:
    plain, squares = State([]), State([], ["squares"])
    squares.put("P", "t", 2, 7, 3, 4, 0, 5, 6, 25)
    for earlier, later in ((plain, squares), (squares, plain)):
        with pytest.raises(ValueError, match="keeps something else"):
            earlier.merge(later)
    assert (len(plain), len(squares)) == (0, 1)
    assert not plain.is_busy
    assert not squares.is_busy


def column_scan() -> ColumnScan:
    decoder = CsvDecoder(Schema())
    decoder.skip_header(Chunk(Span("d"), HEADER, 0, len(HEADER), 1))
    return new_scan(ColumnScan, State([]), decoder, Schema(), None)


def test_columns_are_let_alone_while_a_scan_fills_them() -> None:
    first, second = b"P,2025-08-26T00:00:00Z,t,1\n" * 50_000, b"Q,2025-08-26T00:00:00Z,t,2\n"
    scan, crew = column_scan(), Crew(1)
    try:
        crew.scan(scan, first, 0, len(first), 1, "first")
        # The state is busy until the scan is collected, whether it is done or not.
        for refused in (
            lambda: scan.feed(second, 0, 1),
            lambda: crew.scan(scan, second, 0, len(second), 1, "second"),
            scan.columns,
            lambda: scan.insert(1, [], [], [], [], []),
            scan.missing,
        ):
            with pytest.raises(RuntimeError, match="in use by another thread"):
                refused()
        crew.close()
        assert [ticket for ticket, _ in crew.collect()] == ["first"]
        assert [len(column) for column in scan.columns()] == [200_000, 200_000, 400_000, 400_000]
    finally:
        crew.close()


def test_rows_are_put_back_once_and_only_where_one_was_set_aside() -> None:
    scan = column_scan()
    assert len(scan.feed(b"P,2025-08-26T00:00:00Z,t,1\nQ,x,t,1\n", 0, 1)) == 1
    for lines in ([1], [3], [2, 2]):
        count = len(lines)
        with pytest.raises(ValueError, match="no such row was set aside"):
            scan.insert(1, lines, ["Q"] * count, [0] * count, ["t"] * count, [1] * count)
    with pytest.raises(ValueError, match="zip"):
        scan.insert(1, [2], [], [], [], [])
    scan.insert(1, [2], ["Q"], [0], ["t"], [1])
    with pytest.raises(ValueError, match="no such row was set aside"):
        scan.insert(1, [2], ["Q"], [0], ["t"], [1])
    assert len(scan.columns()[0]) == 8


def test_layouts_that_no_table_has_are_refused() -> None:
    for layout in ((0, 1, 2, 2, 4), (0, 1, 2, 4, 4), (0, 0, 0, 0, 1)):
        with pytest.raises(ValueError, match=r"no such layout|not four"):
            Scan(State([]), *layout, b",", [])
    for delimiter in (b"", b",,", b"\r", b"\n", b'"', b"\0", b"\xff"):
        with pytest.raises(ValueError, match="no such delimiter"):
            Scan(State([]), 0, 1, 2, 3, 4, delimiter, [])


def test_rules_for_what_is_no_event_type_are_refused() -> None:
    rule = Summary().rules["spo2"]
    for name in (LONG, "", "\ud800"):
        for make in (Summary, lambda rules: Selection(["mean"], rules)):
            with pytest.raises(ValueError, match="no event type is called so"):
                make(rules={name: rule})
    assert _kernel.path()
