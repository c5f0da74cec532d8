"""Keeping rows as Parquet: every row but the bad ones, exact and in order, once, and only what counts."""

import asyncio
import json
import os
import resource
import subprocess
import sys
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from mockexport import Download, Schema, analyze
from mockexport.engine.choosing import kernel_problem
from mockexport.errors import FolderError, OptionError, OutputError
from mockexport.formats import CsvDecoder
from mockexport.formats.batch import NO_VALUE, with_missing
from mockexport.model import Chunk, Span
from mockexport.saving.parquet import SavingParquet
from mockexport.server.folder import generate
from mockexport.sources.scripted import Fail, Scripted, Step
from tests.rows import HEADER, csv_bodies

ENGINES = ["python"] if kernel_problem() is not None else ["python", "kernel"]
ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"
A = Download("a", rows=1, start_us=0, end_us=2 * 10**15)
B = Download("b", rows=1, start_us=2 * 10**15, end_us=3 * 10**15)
EXACT = Context(prec=40)  # the usual one has fewer digits than values
WHOLE = {"00-a.parquet", "01-b.parquet", "parquet.json"}


def source(**changed: list[list[Step]]) -> Scripted:
    scripts: dict[str, list[list[Step]]] = {"a": [[HEADER, ROW]], "b": [[HEADER + ROW.replace(b"2025", b"2050")]]}
    scripts |= changed
    return Scripted("x", {A: scripts["a"], B: scripts["b"]})


async def kept(played: Scripted, folder: Path, **options: Any) -> Any:
    return await analyze("x", source=played, save=folder, save_format="parquet", **options)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def rows_in(path: Path) -> list[tuple[Any, ...]]:
    """The rows of a file, times in microseconds and values in units of 10⁻¹⁸, as another library reads them."""
    frame = polars.read_parquet(path).with_columns(polars.col("event_time").dt.timestamp("us"))
    return [
        (patient, time, kind, None if value is None else int(value.scaleb(18, EXACT)))
        for patient, time, kind, value in frame.rows()
    ]


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_demo_is_kept_with_its_counts_and_exact_sums(tmp_path: Path, engine: Any) -> None:
    folder = tmp_path / "kept"
    report = await analyze("demo", save=folder, save_format="parquet", engine=engine)
    frame = polars.read_parquet(folder / "*.parquet")
    assert frame.height == report.account.rows == 18_784
    for event_type, total in report.totals.items():
        values = frame.filter(polars.col("event_type") == event_type)["value"]
        assert values.len() == total.count
        assert values.sum() / total.count == pytest.approx(Decimal(repr(total.mean)), rel=Decimal("1e-12"))
    assert frame["value"].sum() == Decimal(1_866_769)
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert json.loads((folder / "parquet.json").read_text())["finished"] is True


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=40, deadline=None)
@given(body=csv_bodies(), data=st.data())
def test_every_row_but_the_bad_ones_is_there_in_order(
    tmp_path_factory: pytest.TempPathFactory, engine: str, body: bytes, data: st.DataObject
) -> None:
    decoder = CsvDecoder(Schema())
    # The second: what only the body's end shows to have ended.
    decoded = [decoder.decode(Chunk(Span("a"), body, 0, len(body), 1)), decoder.finish(1 + body.count(b"\n"))]
    rows = [row for each in decoded for row in with_missing(each)[0].rows()]
    folder = tmp_path_factory.mktemp("rows")
    saving = SavingParquet(source(), folder, engine=engine)
    asyncio.run(saving.discover("x"))
    file = saving.new_file(A)
    cut = data.draw(st.integers(0, len(body)))
    file.feed(body[:cut])
    file.feed(body[cut:])
    assert file.commit() == len(rows)
    expected = [(p, t, e, None if v == NO_VALUE else v) for p, t, e, v in rows]
    assert rows_in(folder / "00-a.parquet") == expected


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_schema_is_honoured_and_a_missing_value_is_null(tmp_path: Path, engine: str) -> None:
    body = b'who;at;what;n\nP1;2025-08-26 02:00:00;t;1.5\nP1;2025-08-26 02:00:01;t;NA\n"P;2";2025-08-26 02:00:02;"t";\n'
    schema = Schema("who", "at", "what", "n", delimiter=";", null_tokens=frozenset({"NA"}), timezone="Europe/Berlin")
    played = Scripted("x", {Download("a"): [[body]]})
    await kept(played, tmp_path, schema=schema, engine=engine)
    midnight = 1_756_166_400_000_000
    assert rows_in(tmp_path / "00-a.parquet") == [
        ("P1", midnight, "t", 1_500_000_000 * 10**9),
        ("P1", midnight + 1_000_000, "t", None),
        ("P;2", midnight + 2_000_000, "t", None),
    ]


TIMES = [b"2025-08-26T%02d:%02d:%02d" % (at // 3600, at // 60 % 60, at % 60) for at in range(9_000)]
NOTED = [b'P1,%b,t,%d,"two\n lines, %d"' % (time, at, at) for at, time in enumerate(TIMES)]
WIDE = [b"P1,%b,%d,,NA" % (time, at) for at, time in enumerate(TIMES)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("schema", "lines"),
    [
        (Schema(), [HEADER[:-1] + b",note", *NOTED, b'P2,2025-08-26,t,1,"never closed', b"P3,2025-08-26,t,1,"]),
        (Schema(comment="#"), [HEADER[:-1] + b",note", *NOTED, b"# the end"]),
        (Schema(values=(("*", None),), null_tokens=frozenset({"NA"})), [b"patient_id,event_time,a,b,c", *WIDE]),
    ],
)
async def test_no_row_is_lost_however_a_chunk_is_read(
    tmp_path: Path, engine: str, schema: Schema, lines: list[bytes]
) -> None:
    body = b"\n".join(lines) + b"\n"
    decoder = CsvDecoder(schema)
    first, _ = with_missing(decoder.decode(Chunk(Span("a"), body, 0, len(body), 1)))
    rest, _ = with_missing(decoder.finish(1))
    await kept(Scripted("x", {Download("a"): [[body]]}), tmp_path, schema=schema, engine=engine)
    expected = [(p, t, e, None if v == NO_VALUE else v) for batch in (first, rest) for p, t, e, v in batch.rows()]
    assert len(expected) >= 9_000
    assert rows_in(tmp_path / "00-a.parquet") == expected


@pytest.mark.parametrize("engine", ENGINES)
async def test_row_groups_are_bounded_and_no_row_is_lost_between_them(tmp_path: Path, engine: str) -> None:
    rows = 300_000 if engine == "kernel" else 140_000
    body = HEADER + b"".join(b"P%d,2025-08-26T00:00:04Z,t,%d\n" % (n % 7, n) for n in range(rows))
    await kept(Scripted("x", {Download("a", rows=rows): [[body]]}), tmp_path, engine=engine)
    found = parquet.ParquetFile(tmp_path / "00-a.parquet")
    groups = [found.metadata.row_group(n).num_rows for n in range(found.num_row_groups)]
    assert len(groups) > 1
    assert max(groups) < 160_000
    values = polars.read_parquet(tmp_path / "00-a.parquet")["value"].cast(polars.Int64)
    assert values.to_list() == list(range(rows))


async def test_an_attempt_that_breaks_off_leaves_no_row_twice(tmp_path: Path) -> None:
    body = HEADER + ROW * 20_000  # several chunks of it are written before it breaks off
    played = Scripted("x", {Download("a", rows=20_000): [[body, Fail("cut")], [body[:-9]], [HEADER + ROW], [body]]})
    report = await kept(played, tmp_path)
    assert report.incomplete == ()
    assert played.asked["a"] == 4
    assert polars.read_parquet(tmp_path / "00-a.parquet").height == 20_000
    assert files(tmp_path) == {"00-a.parquet", "parquet.json"}


async def test_what_failed_leaves_nothing_and_the_folder_says_that_it_is_a_part(tmp_path: Path) -> None:
    report = await kept(source(b=[[HEADER + ROW, Fail("gone", passing=False)]]), tmp_path)
    assert report.incomplete == ("b",)
    assert files(tmp_path) == {"00-a.parquet", "parquet.json"}
    listing = json.loads((tmp_path / "parquet.json").read_text())
    assert (listing["finished"], [download["id"] for download in listing["downloads"]]) == (False, ["a"])
    again = source()
    await kept(again, tmp_path)
    assert again.asked == {"a": 1, "b": 1}
    assert files(tmp_path) == WHOLE


async def test_a_body_without_the_columns_fails_as_it_does_without_saving(tmp_path: Path) -> None:
    odd: list[list[Step]] = [[b"a,b\n1,2\n"]]
    report = await kept(source(a=odd), tmp_path)
    plain = await analyze("x", source=source(a=odd))
    assert report.account.downloads[0].verdict == plain.account.downloads[0].verdict
    assert files(tmp_path) == {"01-b.parquet", "parquet.json"}


async def test_a_run_that_is_cancelled_anywhere_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    for steps in range(0, 120, 4):
        folder = tmp_path / str(steps)
        run = asyncio.create_task(kept(source(), folder, engine="python"))
        for _ in range(steps):
            await asyncio.sleep(0)
        run.cancel()
        await asyncio.sleep(0)
        run.cancel()  # an impatient user's second Ctrl-C
        await asyncio.wait([run])
        assert not list(folder.glob("*.partial"))


def test_a_run_that_is_killed_leaves_no_file_under_its_name(tmp_path: Path) -> None:
    program = (
        "import asyncio, os, signal, mockexport\n"
        f"body = {HEADER!r} + {ROW!r} * 400_000\n"
        "async def lines():\n"
        "    yield body\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        f"asyncio.run(mockexport.analyze(source=mockexport.Piped(lines(), name='x'), save={str(tmp_path)!r},"
        " save_format='parquet'))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=False, timeout=50)
    assert ran.returncode < 0
    assert json.loads((tmp_path / "parquet.json").read_text())["finished"] is False
    assert not list(tmp_path.glob("*.parquet"))


def test_a_disk_that_is_full_is_an_error_with_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "mockexport", "demo", "--save", str(tmp_path / "kept"), "--save-format", "parquet"]
    ran = subprocess.run(command, preexec_fn=full, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 1
    assert "cannot write" in ran.stderr
    assert ".parquet: File too large" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert files(tmp_path / "kept") == {"parquet.json"}


async def test_formats_and_exports_do_not_mix_in_a_folder(tmp_path: Path) -> None:
    generate("demo", tmp_path / "csv")
    with pytest.raises(FolderError, match="as CSV; give Parquet its own folder"):
        await analyze("demo", save=tmp_path / "csv", save_format="parquet")
    await kept(source(), tmp_path / "parquet")
    with pytest.raises(FolderError, match="as Parquet; give CSV its own folder"):
        await analyze("x", source=source(), save=tmp_path / "parquet")
    with pytest.raises(FolderError, match="holds the export 'x'"):
        await kept_other(tmp_path / "parquet")
    (tmp_path / "parquet" / "parquet.json").unlink()
    with pytest.raises(FolderError, match=r"no parquet\.json"):
        await kept(source(), tmp_path / "parquet")


async def kept_other(folder: Path) -> None:
    await analyze("y", source=Scripted("y", {A: [[HEADER + ROW]]}), save=folder, save_format="parquet")


async def test_what_the_export_no_longer_has_is_gone_once_the_new_files_are_in(tmp_path: Path) -> None:
    await kept(source(), tmp_path)
    await kept(Scripted("x", {B: [[HEADER + ROW.replace(b"2025", b"2050")]]}), tmp_path)
    assert files(tmp_path) == {"00-b.parquet", "parquet.json"}


async def test_parquet_is_not_read_and_the_error_says_so(tmp_path: Path) -> None:
    await kept(source(), tmp_path)
    with pytest.raises(FolderError, match="Parquet, which is for other tools"):
        await analyze(folder=tmp_path)
    with pytest.raises(FolderError, match="Parquet, which is for other tools"):
        await analyze(files=str(tmp_path / "*.parquet"))


async def test_what_cannot_be_meant_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    played = source()
    with pytest.raises(OptionError, match="neither csv nor parquet"):
        await analyze("x", source=played, save=tmp_path, save_format="orc")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="goes with save"):
        await analyze("x", source=played, save_format="parquet")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        await kept(played, tmp_path / "file" / "deeper")
    assert played.asked == {}


def test_without_the_extra_the_error_says_what_to_install_and_nothing_is_made(tmp_path: Path) -> None:
    hidden = "import sys\nfor name in ('pyarrow', 'numpy'): sys.modules[name] = None\n"
    program = hidden + (
        "from mockexport.cli import main\n"
        f"sys.exit(main(['demo', '--save', {str(tmp_path / 'kept')!r}, '--save-format', 'parquet']))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 2
    assert "pip install 'mockexport[parquet]'" in ran.stderr
    assert not os.path.exists(tmp_path / "kept")


@pytest.mark.parametrize(("save_format", "loaded"), [("csv", "False False"), ("parquet", "True False")])
def test_pyarrow_is_loaded_when_asked_for_and_numpy_never(tmp_path: Path, save_format: str, loaded: str) -> None:
    program = (
        "import asyncio, sys, mockexport\n"
        f"asyncio.run(mockexport.analyze('demo', save={str(tmp_path)!r}, save_format={save_format!r}))\n"
        "print('pyarrow' in sys.modules, 'numpy' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert ran.stdout.strip() == loaded


@pytest.mark.parametrize("engine", ["python", "auto"])
async def test_a_described_table_is_kept_as_it_is_read_unless_too_many_rows_are_bad(
    tmp_path: Path, engine: Any
) -> None:
    (tmp_path / "A01.csv").write_text("time;hr;spo2\n01.05.2024;60,5;\n02.05.2024;x;97\n03.05.2024;62;98\n")
    schema = Schema(
        event_time="time", delimiter=";", decimal=",", values=(("*", None),), time_formats=("%d.%m.%Y",),
        constants=(("patient_id", "{stem}"),),
    )  # fmt: skip
    for max_bad in ("10%", 1):
        folder = tmp_path / f"kept {max_bad}"
        report = await analyze(
            files=tmp_path / "A01.csv", schema=schema, save=folder, save_format="parquet", engine=engine,
            max_bad=max_bad, allow_incomplete=True,
        )  # fmt: skip
        assert bool(report.incomplete) is (max_bad == "10%")
        assert any(folder.glob("*.parquet")) is (max_bad == 1)
    (file,) = folder.glob("*.parquet")
    rows = parquet.read_table(file).to_pylist()
    found = [(row["patient_id"], row["event_time"].day, row["event_type"], float(row["value"])) for row in rows]
    assert found == [("A01", 1, "hr", 60.5), ("A01", 2, "spo2", 97), ("A01", 3, "hr", 62), ("A01", 3, "spo2", 98)]
