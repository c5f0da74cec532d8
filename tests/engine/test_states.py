"""States that are told lies: by bytes that somebody else wrote, by ids that are none, by two threads at once."""

import json
import struct
from typing import Any

import pytest

from mockexport import Counts, Reducer, Schema, Selection, Summary
from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.errors import StateError
from mockexport.formats import CsvDecoder
from mockexport.model import Chunk, Span
from mockexport.reducers import pack_state, unpack_state
from mockexport.reducers.packing import pack_rows
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


def loaded(reducer: Reducer[Any, Any], data: bytes) -> Any:
    """The state of a dump."""
    return unpack_state(
        reducer, pack_state(reducer, reducer.empty()).removesuffix(reducer.dump(reducer.empty())) + data
    )


both = pytest.mark.parametrize("engine", ["reference", "kernel"])


@both
@pytest.mark.parametrize(
    "rows",
    [
        changed(GOOD, 0, LONG),
        changed(GOOD, 1, LONG),
        changed(GOOD, 0, "é" * 129),
        changed(GOOD, 0, ""),
        [GOOD, GOOD],
        [*changed(GOOD, 0, "Q"), GOOD],
        [*changed(GOOD, 1, "u"), GOOD],
        changed(GOOD, 2, 0),
        changed(GOOD, 2, 10**15 + 1, 3, 4 * 10**15),
        changed(GOOD, 3, 5),
        changed(GOOD, 3, 9),
        changed(GOOD, 4, 5),
        changed(GOOD, 4, -(2**110) - 1, 3, -(2**110)),
        changed(GOOD, 6, 3),
        changed(GOOD, 5, 2**110 + 1),
        changed(GOOD, 7, 7),
        changed(GOOD, 7, -(2**63)),
        changed(GOOD, 8, 2**63 - 1),
    ],
    ids=str,
)
def test_a_group_that_no_rows_come_to_is_refused(engine: str, rows: Any) -> None:
    reducer: Reducer[Any, Any] = Summary() if engine == "reference" else twin(Summary())
    assert reducer.dump(loaded(reducer, pack_rows([GOOD]))) == pack_rows([GOOD])
    with pytest.raises(StateError):
        loaded(reducer, pack_rows(rows))


@both
@pytest.mark.parametrize(
    "rows",
    [
        changed(WHOLE, 9, 24),
        changed(WHOLE, 9, 2**222),
        changed(WHOLE, 10, [0, 3, 1, 4, 2]),
        changed(WHOLE, 10, [0, 3, 2**64 - 1, 4, 3]),
        changed(WHOLE, 10, [0, 4, 1, 3, 1]),
        changed(WHOLE, 10, [0, 3, 1, 3, 1]),
        changed(WHOLE, 10, [1, 2**40 + 1, 2]),
        changed(WHOLE, 10, [0, -(2**110), 2]),
        changed(WHOLE, 10, [0, *[n for value in range(4097) for n in (value, 1)]], 2, 4097, 3, 4 * 4097),
        changed(WHOLE, 11, [0, 0, 1]),
        changed(WHOLE, 10, [2, 3, 1, 4, 1]),
        changed(WHOLE, 11, [1, 0, 2]),
        changed(WHOLE, 11, [0, 2**63 - 1, 2]),
        changed(WHOLE, 12, [0]),
    ],
    ids=lambda rows: str(rows)[:80],
)
def test_families_that_no_rows_come_to_are_refused(engine: str, rows: Any) -> None:
    reducer: Reducer[Any, Any] = EVERYTHING if engine == "reference" else twin(EVERYTHING)
    good = pack_rows([WHOLE], EVERYTHING.families)
    assert reducer.dump(loaded(reducer, good)) == good
    with pytest.raises(StateError):
        loaded(reducer, pack_rows(rows, EVERYTHING.families))


@both
def test_bytes_of_other_sizes_or_with_other_ids_are_refused(engine: str) -> None:
    reducer: Reducer[Any, Any] = EVERYTHING if engine == "reference" else twin(EVERYTHING)
    good = pack_rows([WHOLE, ["Q", *WHOLE[1:]], ["Q", "u", *WHOLE[2:]]], EVERYTHING.families)
    others = [good[:at] for at in range(len(good))]
    others += [good + b"\0"]
    for at in (0, 8, 16):  # the numbers of patients, of event types and of groups
        others += [
            good[:at] + struct.pack("<Q", number) + good[at + 8 :] for number in (0, 1, 4, 2**32, 2**63, 2**64 - 1)
        ]
    ids = good.index(b"PQ")
    others += [good.replace(b"PQ", text) for text in (b"PP", b"QP", b"P\xff", b"\xc0\x80")]
    others += [good[: ids - 2] + struct.pack("<H", length) + good[ids:] for length in (0, 2, 257, 2**16 - 1)]
    places = struct.pack("<6I", 0, 1, 1, 0, 0, 1)
    for other in ((0, 0, 1, 0, 0, 1), (1, 1, 0, 0, 1, 0), (0, 1, 2, 0, 0, 1), (0, 0, 0, 0, 1, 2), (0, 1, 1, 0, 0, 0)):
        others.append(good.replace(places, struct.pack("<6I", *other)))
    sparse = pack_rows([WHOLE, ["Q", "u", *WHOLE[2:]]], EVERYTHING.families)
    for unused in ((0, 0, 0, 1), (0, 1, 0, 0)):  # the second patient, the second event type
        others.append(sparse.replace(struct.pack("<4I", 0, 1, 0, 1), struct.pack("<4I", *unused), 1))
    assert not {good, sparse} & {*others}
    for data in others:
        with pytest.raises(StateError):
            loaded(reducer, data)


def test_nested_json_is_refused() -> None:
    with pytest.raises(StateError):
        loaded(Counts(), b"[" * 200_000)
    for rows in (
        [[LONG, "t", 1]], [["P", "", 1]], [["P", "\ud800", 1]], [["P", 5, 1]], [["P", "t", 0]], [["P", "t", 1.0]],
        [["P", "t", 10**15 + 1]], [["P", "t", 1], ["P", "t", 1]], [["Q", "t", 1], ["P", "t", 1]],
    ):  # fmt: skip
        with pytest.raises(StateError):
            loaded(Counts(), json.dumps(rows).encode())


def test_ids_that_no_row_can_have_do_not_get_into_the_kernel() -> None:
    state = State([(b"spo2", 85, 100)])
    # Ever longer ones overran the memory that ids are kept in.
    for name in (LONG, "y" * 257, ""):
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            state.add_rows(["P"], [5], [name], [3])
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            State([(name.encode(), 0, 1)])
        with pytest.raises(ValueError, match="1 to 256 bytes"):
            RowFilter(None, None, [name.encode()], None)
    names = [f"{number:0256}" for number in range(200)]
    state.add_rows(names, [5] * 200, names, [3] * 200)
    assert (state.patients(1000), state.types(1000)) == (["P", *names], names)


def test_a_state_is_loaded_when_it_is_empty() -> None:
    state = State([])
    state.load(pack_rows([GOOD]))
    with pytest.raises(ValueError, match="not empty"):
        state.load(pack_rows([GOOD]))
    assert state.dump() == pack_rows([GOOD])


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
    squares.add_rows(["P"], [5], ["t"], [3])
    for earlier, later in ((plain, squares), (squares, plain)):
        with pytest.raises(ValueError, match="keeps something else"):
            earlier.merge(later)
    assert (len(plain), len(squares)) == (0, 1)
    assert not plain.is_busy
    assert not squares.is_busy


def column_scan() -> ColumnScan:
    decoder = CsvDecoder(Schema())
    decoder.take(Chunk(Span("d"), HEADER, 0, len(HEADER), 1))
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
        assert [len(column) for column in scan.columns()] == [200_000, 200_000, 400_000, 800_000]
    finally:
        crew.close()


def test_rows_are_put_back_once_and_only_where_one_was_set_aside() -> None:
    scan = column_scan()
    assert len(scan.feed(b"P,2025-08-26T00:00:00Z,t,1\nQ,x,t,1\n", 0, 1)) == 1
    for lines in ([1], [3]):
        count = len(lines)
        with pytest.raises(ValueError, match="no such row was set aside"):
            scan.insert(1, lines, ["Q"] * count, [0] * count, ["t"] * count, [1] * count)
    with pytest.raises(ValueError, match="zip"):
        scan.insert(1, [2], [], [], [], [])
    scan.insert(1, [2], ["Q"], [0], ["t"], [1])
    with pytest.raises(ValueError, match="no such row was set aside"):
        scan.insert(1, [2], ["Q"], [0], ["t"], [1])
    assert len(scan.columns()[0]) == 8


SIGNS = (b",", b'"', b"", b"")


def test_layouts_that_no_table_has_are_refused() -> None:
    for *layout, fields in ((0, 1, 2, 2, 4), (0, 1, 2, 4, 4), (0, 0, 0, 0, 1)):
        with pytest.raises(ValueError, match=r"no such layout|not four"):
            Scan(State([]), (layout[0], layout[1], layout[2], layout[3]), fields, SIGNS, [], [], [])
    with pytest.raises(ValueError, match="nothing tells how rows are read"):
        Scan(State([]), None, 4, SIGNS, [], [], [])
    for delimiter in (b"", b",,", b"\r", b"\n", b'"', b"\0", b"\xff"):
        with pytest.raises(ValueError, match="no such delimiter"):
            Scan(State([]), (0, 1, 2, 3), 4, (delimiter, *SIGNS[1:]), [], [], [])
    for sign in (b"ab", b"\n", b"\0", b"\xff"):
        with pytest.raises(ValueError, match="no such sign"):
            Scan(State([]), (0, 1, 2, 3), 4, (b",", b'"', sign, b""), [], [], [])


def test_rules_for_what_is_no_event_type_are_refused() -> None:
    rule = Summary().rules["spo2"]
    for name in (LONG, "", "\ud800"):
        for make in (Summary, lambda rules: Selection(["mean"], rules)):
            with pytest.raises(ValueError, match="no event type is called so"):
                make(rules={name: rule})
    assert _kernel.path()
