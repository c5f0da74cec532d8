"""How the run went, on the page: coverage over time with its gaps, the verdicts, and bad rows.

What is drawn is also told in words; of many downloads those that have something to say are the ones that are listed.
"""

from collections.abc import Sequence

from mockexport.formats.coverage import HOUR_US, Coverage
from mockexport.model import Verdict, VerdictKind
from mockexport.report.account import Account, DownloadAccount
from mockexport.report.charts import Timeline, lane
from mockexport.report.markup import Markup, element, named, shown, table
from mockexport.report.plain import counted, size, when

__all__ = ["MAX_DOWNLOADS", "MAX_GAPS", "MAX_LANES", "account_parts", "coverage_parts", "facts"]

# Lines of the table of downloads.
MAX_DOWNLOADS = 200
# Downloads that have a lane of their own in the drawing of coverage; more are drawn as one.
MAX_LANES = 40
# Gaps that are listed in words.
MAX_GAPS = 20

_HEADS: list[tuple[str, str | None]] = [
    ("Download", None),
    ("verdict", "text"),
    *((head, "number") for head in ("rows", "bad rows", "without value", "attempts", "received", "fetched")),
]


def coverage_parts(account: Account) -> list[Markup]:
    """Return the picture of coverage over time, if the run counted it; the gaps in words."""
    drawn = [d for d in account.downloads if d.coverage is not None]
    coverages = [d.coverage for d in drawn if d.coverage is not None]
    timeline = Timeline.of(coverages)
    if timeline is None:
        return []
    covering = [d.coverage for d in drawn if d.coverage is not None and d.verdict.counts]
    gaps = timeline.gaps(covering)
    lanes = [_all_lane(timeline, covering, gaps)]
    if len(drawn) <= MAX_LANES:
        most = max((max(timeline.columns([c]).values(), default=1) for c in coverages), default=1)
        lanes += [_download_lane(timeline, download, most) for download in drawn]
    start, end = (when(hour * HOUR_US) for hour in (timeline.start, timeline.end))
    middle = when((timeline.start + timeline.end) * HOUR_US // 2)
    axis = element("div", *(element("span", each) for each in (start, middle, end)), class_="axis")
    unit = "hour" if timeline.column_hours == 1 else f"{timeline.column_hours:,} hours"
    told = f"Rows per {unit}, in UTC; frames are what the metadata announces, hatched parts are times without any row."
    many = f" There are {len(drawn):,} downloads, too many for a lane each." if len(drawn) > MAX_LANES else ""
    return [
        element("h2", "Coverage over time"),
        element("p", told + many, class_="soft"),
        element("figure", *lanes, element("div", element("span"), axis, class_="lane"), class_="lanes"),
        *_gaps(timeline, gaps),
    ]


def _all_lane(timeline: Timeline, covering: Sequence[Coverage], gaps: Sequence[tuple[int, int]]) -> Markup:
    columns = timeline.columns(covering)
    told = f"All downloads: {counted(len(gaps), 'gap') if gaps else 'no gap'}"
    announced = [] if len(covering) <= MAX_LANES else [_announced(each) for each in covering]
    drawn = lane(
        timeline, columns, max(columns.values(), default=1), told, gaps=gaps, announced=[a for a in announced if a]
    )
    return element("div", element("div", "All downloads"), drawn, class_="lane")


def _download_lane(timeline: Timeline, download: DownloadAccount, most: int) -> Markup:
    covered = download.coverage
    if covered is None:
        return Markup()
    announced = _announced(covered)
    told = counted(download.rows, "row")
    if covered.first_us is not None and covered.last_us is not None:
        told += f" from {when(covered.first_us)} to {when(covered.last_us)}"
    if announced is not None:
        told += f", announced from {when(announced[0])} to {when(announced[1])}"
    name = element("div", named(_brief(download.download_id)), *_marked(download.verdict))
    drawn = lane(timeline, timeline.columns([covered]), most, told, announced=[announced] if announced else [])
    return element("div", name, drawn, class_="lane")


def _announced(covered: Coverage) -> tuple[int, int] | None:
    if covered.announced_start_us is None or covered.announced_end_us is None:
        return None
    return covered.announced_start_us, covered.announced_end_us


def _brief(download_id: str) -> str:
    return download_id if len(download_id) <= 20 else f"{download_id[:8]}…{download_id[-6:]}"


def _gaps(timeline: Timeline, gaps: Sequence[tuple[int, int]]) -> list[Markup]:
    least = "an hour" if timeline.bucket_hours == 1 else f"{timeline.bucket_hours:,} hours"
    if not gaps:
        return [element("p", f"There is no gap: no whole {least.removeprefix('an ')} without a row.")]
    longest = sorted(gaps, key=lambda gap: (gap[0] - gap[1], gap[0]))[:MAX_GAPS]
    lines = [
        element("li", f"{when(a * HOUR_US)} to {when(b * HOUR_US)}: {counted(b - a, 'hour')}")
        for a, b in sorted(longest)
    ]
    total = sum(end - start for start, end in gaps)
    told = f"{counted(len(gaps), 'gap')} of {least} or more, {counted(total, 'hour')} in all"
    told += f"; the {len(lines)} longest:" if len(lines) < len(gaps) else ":"
    return [element("p", told), element("ul", *lines)]


def account_parts(account: Account) -> list[Markup]:
    """Return the account of the run: what it took, and each download's verdict."""
    rate = account.rows / account.elapsed_s if account.elapsed_s > 0 else 0.0
    fetched = sum(d.fetched_bytes for d in account.downloads)
    attempts = sum(d.attempts - 1 for d in account.downloads)
    told: list[tuple[str, object]] = [
        ("Time taken", f"{account.elapsed_s:,.2f} s, {rate:,.0f} rows/s"),
        ("Fetched", size(fetched)),
        ("Retries", f"{attempts:,}"),
        ("Bad rows", f"{account.bad_rows:,}"),
        ("Rows without a value", f"{account.missing_values:,}"),
        ("Made by", f"mockexport {account.version}, engine {account.engine}"),
    ]
    if account.filtered_rows:
        told.insert(-1, ("Rows not asked for", f"{account.filtered_rows:,}"))
    # Those with something to say are not the ones that are left out.
    wanted = sorted(account.downloads, key=lambda d: d.verdict.complete)[:MAX_DOWNLOADS]
    kept = {d.download_id for d in wanted}
    lines = [_account_line(d) for d in account.downloads if d.download_id in kept]
    left_out = len(account.downloads) - len(lines)
    parts = [element("h2", "Account of the run"), facts(told)]
    if left_out:
        parts.append(element("p", f"{counted(left_out, 'complete download')} left out.", class_="note"))
    return [*parts, table("Downloads", _HEADS, lines), *_bad_rows(account)]


def _account_line(download: DownloadAccount) -> Sequence[object]:
    verdict = download.verdict
    why = f": {shown('; '.join(verdict.reasons))}" if verdict.reasons else ""
    return (
        named(download.download_id),
        (element("span", str(verdict.kind), class_=_kind(verdict)), why),
        f"{download.rows:,}",
        f"{sum(download.bad_rows.values()):,}",
        f"{sum(download.missing_values.values()):,}",
        f"{download.attempts:,}",
        size(download.received_bytes),
        size(download.fetched_bytes),
    )


def _kind(verdict: Verdict) -> str | None:
    if not verdict.complete:
        return "bad"
    return "good" if verdict.kind is VerdictKind.VERIFIED else None


def _bad_rows(account: Account) -> list[Markup]:
    lines = []
    for download in account.downloads:
        if download.bad_rows:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(download.bad_rows.items()))
            first = ", ".join(f"line {bad.line:,} ({bad.reason})" for bad in download.first_bad_rows)
            lines.append(element("li", named(download.download_id), f": {reasons}. The first: {first}."))
    if not lines:
        return []
    left_out = len(lines) - MAX_DOWNLOADS
    more = element("p", f"{left_out:,} further downloads have bad rows.") if left_out > 0 else None
    told = element("ul", *lines[:MAX_DOWNLOADS], class_="fine")
    return [element("h3", "Bad rows, which are part of no statistic"), told, *([more] if more else [])]


def _marked(verdict: Verdict) -> list[Markup]:
    return [] if verdict.complete else [element("span", f" {verdict.kind}", class_="bad")]


def facts(told: Sequence[tuple[str, object]]) -> Markup:
    """Return names and what they are."""
    return element("dl", *(element("div", element("dt", name), element("dd", fact)) for name, fact in told))
