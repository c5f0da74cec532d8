"""Natural mistakes. Nothing runs this file: test_mistakes.py lets mypy read it, and tests.judges pyright.

Behind each stands a part of what mypy says: what is right, or else what the mistake is. What mistakes say when they
are run is in test_mistakes.py.
"""

from pathlib import Path

import mockexport
from mockexport.events import Event


async def words_and_names() -> None:
    await mockexport.analyse("demo")  # error: maybe "analyze"
    await mockexport.analyze("demo", engine="pyhton")  # error: expected "Literal['auto', 'kernel', 'python']"
    await mockexport.analyze("demo", save="kept", save_format="cvs")  # error: expected "Literal['csv', 'parquet']"
    await mockexport.analyze("demo", on_failure="abort")  # error: expected "Literal['continue', 'stop']"
    await mockexport.analyze("demo", concurency=8)  # error: did you mean "concurrency"?
    await mockexport.analyze("demo", chunksize=1_000_000)  # error: Unexpected keyword argument "chunksize"
    await mockexport.analyze("demo", concurrency="4")  # error: expected "int"
    await mockexport.analyze(export="demo")  # error: did you mean "export_id"?
    await mockexport.analyze("demo", reducer=mockexport.Counts)  # error: expected "Reducer[Any, Statistics] | None"
    await mockexport.analyze("demo", reducer="p95")  # error: expected "Reducer[Any, Statistics] | None"
    await mockexport.analyze("demo", schema="semicolon")  # error: expected "Format | None"
    await mockexport.analyze("demo", filter="P001")  # error: expected "Filter | None"
    await mockexport.analyze("demo", access="token")  # error: expected "Access | None"
    await mockexport.analyze("demo", retry=3)  # error: expected "RetryPolicy | None"
    mockexport.Schema(delimeter=";")  # error: did you mean "delimiter"?
    mockexport.Schema(censored="leave out")  # error: expected "Literal['leave-out', 'bound', 'bad']"
    mockexport.Schema(text="ignore")  # error: expected "Literal['bad', 'missing']"
    mockexport.Schema(decimal=";")  # error: expected "Literal['.', ',']"
    mockexport.Filter.of(patient="P001")  # error: did you mean "patients"?
    mockexport.RetryPolicy(attemps=3)  # error: did you mean "attempts"?
    mockexport.AnomalyRule(lower=40)  # error: Unexpected keyword argument "lower"
    mockexport.Access(tokens="x")  # error: did you mean "token"?
    mockexport.MockServer(fault="reset=0.1")  # error: did you mean "faults"?


async def lists_and_paths() -> None:
    await mockexport.analyze(files=3)  # error: expected "str | Path | Sequence[str | Path] | None"
    await mockexport.analyze(files=[b"a.csv"])  # error: expected "str | Path"
    await mockexport.analyze(folder=[Path("a")])  # error: expected "str | Path | None"
    await mockexport.analyze("demo", url=Path("http://127.0.0.1"))  # error: expected "str | None"
    mockexport.Schema(null_tokens=["NA"])  # error: expected "frozenset[str]"
    mockexport.Schema(time_formats="iso")  # error: expected "tuple[str, ...]"
    mockexport.Selection("p95", {"bp_sys": (90, 140)})  # error: expected "str": "AnomalyRule"


async def figures() -> None:
    mockexport.analyze("demo").totals  # error: Maybe you forgot to use "await"?
    mockexport.run("demo").total  # error: maybe "totals"
    report = await mockexport.analyze("demo")
    await report  # error: Incompatible types in "await"
    report.patient["P001"]  # error: maybe "patients"
    report.patients["P001", "bp_sys"]  # error: expected type "str"
    report.patients["P001"].mean  # error: has no attribute "mean"
    report.totals["bp_sys"].means  # error: maybe "mean"?
    report.totals["bp_sys"].average  # error: "Statistics" has no attribute "average"
    report.totals["bp_sys"]["mean"]  # error: "Statistics" is not indexable
    report.totals["bp_sys"].latency + 1  # error: Unsupported operand types for + ("None" and "int")
    report.to_json(round=2)  # error: did you mean "round_to"?
    report.to_csv()  # error: has no attribute "to_csv"
    report.complete  # error: maybe "incomplete"?
    counts = await mockexport.analyze("demo", reducer=mockexport.Counts())
    counts.totals["bp_sys"].count  # error: "int" has no attribute "count"
    chosen = await mockexport.analyze("demo", reducer=mockexport.Selection(["p95"]))
    chosen.totals["bp_sys"].p95  # error: has no attribute "p95"
    for patient in report.patients:
        patient.items()  # error: "str" has no attribute "items"
    report.account.downloads[0].verdict == "verified"  # error: Non-overlapping equality check
    report.account.download  # error: maybe "downloads"?


def listening(event: Event) -> None:
    event.download  # error: has no attribute "download"


async def contexts() -> None:
    with mockexport.MockServer() as server:  # error: maybe "__aenter__"?
        server.url
    async with mockexport.Run("demo") as run:
        run.report().totals  # error: Maybe you forgot to use "await"?
        for snapshot in run:  # error: maybe "__aiter__"
            snapshot.report
