"""Rows for tests: hostile fields and well-formed ones as Hypothesis strategies, and CSV texts made of them."""

from hypothesis import strategies as st

from mockexport.formats import Batch

HEADER = b"patient_id,event_time,event_type,value\n"

ids = st.sampled_from(["P001", "P002", "ä", "x y", "=1+1", "<script>"])
types = st.sampled_from(["heart_rate", "spo2", "bp_sys", "steps"])
times = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
values = st.one_of(
    st.integers(0, 250).map(lambda number: number * 10**18),
    st.integers(-(10**18), 10**18).map(lambda number: number * 10**9),
    st.integers(-(10**33), 10**33),
    st.integers(-9, 9),
)


@st.composite
def batches(draw: st.DrawFn, max_size: int = 8) -> Batch:
    """A batch of up to `max_size` rows."""
    rows = draw(st.lists(st.tuples(ids, times, types, values), max_size=max_size))
    columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
    return Batch(*columns)


@st.composite
def crowded_batches(draw: st.DrawFn) -> Batch:
    """One patient's rows, with up to many thousand different values: below, at and beyond what is kept apart."""
    size = draw(st.sampled_from([0, 1, 600, 2048, 4095, 4096, 4097, 6000]))
    first = draw(st.sampled_from([-(10**33), -2048, 0, 10**6, 72 * 10**18]))
    step = draw(st.sampled_from([1, 10**8, 10**16, 166 * 10**27]))
    found = [first + number * step for number in range(size)]
    return Batch(["P"] * size, list(range(size)), ["heart_rate"] * size, found)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """A number within the range of values, of up to 25 places, most with an exponent that moves its point about."""
    places, moved = draw(st.integers(0, 25)), draw(st.sampled_from([0, 0, 1, -5, 12, -30]))
    whole, rest = divmod(draw(st.integers(0, 10 ** draw(st.integers(0, 14 + places)))), 10**places)
    return f"{draw(st.sampled_from(['', '', '-', '+']))}{whole}.{f'{rest:0{places}}' if places else ''}e{moved}"


good_fields = st.tuples(
    st.sampled_from(["P001", "P002", "ä", '"a,b"', '"a""b"']),
    st.sampled_from(
        ["2025-08-26T00:00:04.906404Z", "2025-08-26T00:00:07Z", "2024-02-29 23:59:59", "2025-08-26T00:00:00+02:00"]
    ),
    st.sampled_from(["heart_rate", "spo2"]),
    st.one_of(st.sampled_from(["72", "-0", "+5", "72.0", "7.2e1", ".5", "1e-9", "", "1000000000", "1e15"]), numbers()),
).map(",".join)

bad_lines = st.sampled_from(
    [
        "P001",
        "P001,2025-08-26T00:00:04Z,heart_rate",
        "P001,2025-08-26T00:00:04Z,heart_rate,72,9",
        'P001,2025-08-26T00:00:04Z,heart_rate,"72',
        'P001,2025-08-26T00:00:04Z,heart_rate,"72"x',
        'P0"01,2025-08-26T00:00:04Z,heart_rate,72',
        ",2025-08-26T00:00:04Z,heart_rate,72",
        "P001,2025-02-30T00:00:04Z,heart_rate,72",
        "P001,1756166400,heart_rate,72",
        "P001,2025-08-26T00:00:04Z,heart_rate,nan",
        "P001,2025-08-26T00:00:04Z,heart_rate,1e16",
        "P001,2025-08-26T00:00:04Z,heart\0rate,72",
        "\udcff\udcfe,2025-08-26T00:00:04Z,heart_rate,72",
    ]
)

blank_lines = st.just("")

line_ends = st.sampled_from(["\n", "\r\n"])


@st.composite
def csv_bodies(draw: st.DrawFn) -> bytes:
    """A CSV with its header and any mixture of good, bad and blank lines; the last may lack its end."""
    lines = draw(st.lists(st.tuples(st.one_of(good_fields, bad_lines, blank_lines), line_ends), max_size=12))
    text = "".join(line + end for line, end in lines)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    bom = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return bom + HEADER + text.encode(errors="surrogateescape")
