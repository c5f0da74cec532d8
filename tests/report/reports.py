"""Reports to be shown: with hostile ids, gaps, trouble and many patients, without a run."""

from mockexport import Account, Coverage, Report, Statistics, Verdict
from mockexport.formats import BadRow, BadRowReason
from mockexport.formats.coverage import HOUR_US
from mockexport.model import VerdictKind
from mockexport.reducers import Result
from mockexport.report.account import DownloadAccount

__all__ = ["HOSTILE", "START", "account", "coverage", "download", "hostile_report", "many_statistics", "statistics"]

START = 1_756_166_400 // 3600  # 2025-08-26, in hours

HOSTILE = [
    '</script><img src=x onerror="document.title=1">',
    "\u202eright to left\u2066",
    "nul\0 and \x1b[31m\u2028",
    "'\"><svg onload=alert(1)>&amp;",
    "=HYPERLINK(0)",
    "all",
    "x" * 256,
    "wide 病人 e\u0301",
    "\ud800",
]


def statistics(count: int = 4, anomalies: int = 1) -> Statistics:
    return Statistics(count=count, mean=75.125, min=30, max=152.5, anomalies=anomalies, latency=2.0)


def coverage(*hours: int, announced: int = 12) -> Coverage:
    rows = {START + hour: 100 + hour for hour in hours}
    first, last = ((START + hour) * HOUR_US for hour in (hours[0], hours[-1]))
    return Coverage(START * HOUR_US, (START + announced) * HOUR_US, first, last, 1, rows)


def download(
    download_id: str = "d", kind: VerdictKind = VerdictKind.VERIFIED, *reasons: str, covered: Coverage | None = None
) -> DownloadAccount:
    bad = {"value": 2} if reasons else {}
    first = (BadRow(3, BadRowReason.VALUE),) if reasons else ()
    return DownloadAccount(download_id, Verdict(kind, reasons), 1200, bad, first, {}, 1, 5000, 6000, 0, covered)


def account(*downloads: DownloadAccount, export_id: str = "x") -> Account:
    return Account(export_id, "http://127.0.0.1:1", False, "kernel", "1", 2.0, downloads)


def hostile_report() -> Report[Statistics]:
    patients = {patient: {HOSTILE[0]: statistics(), "heart_rate": statistics(9, 0)} for patient in HOSTILE}
    totals = {HOSTILE[0]: statistics(36, 9), "heart_rate": statistics(81, 0)}
    downloads = [
        download(HOSTILE[0], covered=coverage(0, 1, 2, 5, 6, 11)),
        download(HOSTILE[1], VerdictKind.MISMATCH, HOSTILE[0], covered=coverage(9, 10)),
    ]
    return Report.of(Result(patients, totals), account(*downloads, export_id=HOSTILE[3]))


def many_statistics() -> Report[dict[str, object]]:
    """Return a report of more statistics than stand side by side, complete but of rows that nobody announced."""
    result: dict[str, object] = {"count": 1_234_567, "anomalies": 0, "min": -5, "max": 1e9, "sum": 10**15}
    result |= dict.fromkeys(("mean", "stddev", "variance", "p5", "p25", "median", "p75", "p95", "p99"), 1234.5)
    result |= dict.fromkeys(("first", "last"), "2025-08-26T00:00:04.906404Z")
    patients = {f"P{number:03}": {"heart_rate": result} for number in range(30)}
    return Report.of(
        Result(patients, {"heart_rate": result}), account(download("d", VerdictKind.UNVERIFIABLE, "no row count"))
    )
