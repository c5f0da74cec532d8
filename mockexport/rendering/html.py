"""The report as a page for the browser: one file, that needs no network and no script, on a screen or on paper.

What does not fit is counted and said. The page holds patients' ids and figures: it is as private as the report.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mockexport.coverage import HOUR_US, Coverage
from mockexport.formats.fields import format_time
from mockexport.model import ANOMALY_RULES, AnomalyRule, Verdict
from mockexport.rendering.charts import GAP_PATTERN, Scale, Timeline, lane, range_bar, share_bar
from mockexport.rendering.markup import Markup, element, named, page, shown
from mockexport.rendering.plain import heading, size
from mockexport.report import Account, DownloadAccount, Report

__all__ = ["MAX_GAPS", "MAX_LANES", "MAX_ROWS", "to_html"]

# Lines of a table; a page of thousands is read by nobody, and a browser takes long over it.
MAX_ROWS = 200
# Downloads that have a lane of their own in the drawing of coverage; more are drawn as one.
MAX_LANES = 40
# Gaps that are listed in words.
MAX_GAPS = 20

_KEY = ("patient_id", "event_type")


def to_html(
    report: Report[Any], *, rules: Mapping[str, AnomalyRule] = ANOMALY_RULES, round_to: int | None = None
) -> str:
    """Return the report as a page of HTML, to be kept as UTF-8.

    The picture of coverage over time is there if the run was asked for it (`coverage=True`).

    Args:
        report: any report.
        rules: whose bounds are drawn behind the ranges: those that the reducer had.
        round_to: decimal places of fractions; two by default.
    """
    account = report.account
    pages = _Page(report, rules, 2 if round_to is None else round_to)
    return page(
        f"Report of {account.export_id}",
        GAP_PATTERN,
        element("h1", "Report of ", named(account.export_id)),
        *pages.headline(),
        *pages.totals(),
        *pages.patients(),
        *_coverage(account),
        *_account(account),
    )


class _Page:
    """The parts that show statistics."""

    def __init__(self, report: Report[Any], rules: Mapping[str, AnomalyRule], places: int) -> None:
        self._report, self._rules, self._places = report, rules, places
        rows = list(report.rows(totals=True))
        self._patients = [row for row in rows if row["patient_id"] is not None]
        self._totals = [row for row in rows if row["patient_id"] is None]
        names = list(dict.fromkeys(name for row in rows for name in row if name not in _KEY))
        self._maps = [name for name in names if any(isinstance(row.get(name), Mapping | list) for row in rows)]
        self._names = [name for name in names if name not in self._maps]
        self._ranged = _are_numbers(rows, "min") and _are_numbers(rows, "max")
        self._shared = _are_numbers(rows, "count") and _are_numbers(rows, "anomalies")

    def headline(self) -> list[Markup]:
        account = self._report.account
        counted = [d for d in account.downloads if d.verdict.counts]
        covered = [d.coverage for d in counted if d.coverage is not None and d.coverage.first_us is not None]
        facts: list[tuple[str, object]] = [("Source", shown(account.source))]
        if covered:
            first = min(c.first_us for c in covered if c.first_us is not None)
            last = max(c.last_us for c in covered if c.last_us is not None)
            facts += [("First event", _time(first)), ("Last event", _time(last))]
        facts += [
            ("Rows", f"{account.rows:,}"),
            ("Patients", f"{len(self._report.patients):,}"),
            ("Downloads", _verdicts(account.downloads)),
        ]
        incomplete = self._report.incomplete
        if incomplete:
            state = element(
                "p",
                f"Incomplete: {len(incomplete):,} of {len(account.downloads):,} downloads failed or differ from what "
                "was announced. The figures below are not those of the whole export.",
                class_="bad",
            )
        else:
            state = element("p", "Complete: every download is in the report.", class_="verdict good")
        synthetic = element("p", "The data is synthetic: the mock server made it up.") if account.synthetic else None
        notes = [element("p", f"Note: {shown(note)}") for note in self._report.notes]
        return [part for part in (state, synthetic, *notes, _facts(facts)) if part is not None]

    def totals(self) -> list[Markup]:
        parts = [element("h2", "Totals by event type")]
        if not self._totals:
            return [*parts, element("p", "There is no row with a value.")]
        if self._ranged:
            parts.append(element("p", self._explained(), class_="soft"))
        parts.append(self._table("Totals", "Event type", [(row["event_type"], row) for row in self._totals]))
        if self._maps:
            maps = ", ".join(map(shown, self._maps))
            parts.append(element("p", f"Not shown here: {maps}; they are in the JSON report.", class_="soft"))
        return parts

    def _explained(self) -> str:
        told = "A bar reaches from the lowest value to the highest"
        told += ", with a mark at the mean." if "mean" in self._names else "."
        if any(row["event_type"] in self._rules for row in self._totals):
            told += " The shaded part is what counts as normal; values outside are anomalies."
        return told + " All bars of an event type have one scale."

    def patients(self) -> list[Markup]:
        if not self._patients:
            return []
        parts = [element("h2", "Patients")]
        for total in self._totals:
            event_type = total["event_type"]
            rows = [row for row in self._patients if row["event_type"] == event_type]
            kept = self._kept(rows, max(MAX_ROWS // len(self._totals), 10))
            parts.append(element("h3", named(event_type)))
            if len(kept) < len(rows):
                chosen = "with the largest share of anomalies" if self._shared else "first by id"
                told = f"{len(kept):,} of {len(rows):,} patients, those {chosen}; {len(rows) - len(kept):,} left out."
                parts.append(element("p", told, class_="bad"))
            lines = [(row["patient_id"], row) for row in kept]
            parts.append(self._table(f"Patients, {shown(event_type)}", "Patient", lines))
            if len(parts) > 2 * MAX_ROWS:
                parts.append(element("p", "Further event types are left out.", class_="bad"))
                break
        return parts

    def _kept(self, rows: Sequence[dict[str, Any]], most: int) -> Sequence[dict[str, Any]]:
        if len(rows) <= most:
            return rows
        if not self._shared:
            return rows[:most]
        worst = sorted(rows, key=lambda row: (-row["anomalies"] / row["count"], row["patient_id"]))[:most]
        return sorted(worst, key=lambda row: str(row["patient_id"]))

    def _table(self, label: str, first: str, lines: Sequence[tuple[str, dict[str, Any]]]) -> Markup:
        heads = [element("th", first, scope="col")]
        if self._ranged:
            heads.append(element("th", "range", scope="col"))
        if self._shared:
            heads.append(element("th", "share of anomalies", scope="col"))
        heads += [element("th", self._title(name), scope="col", class_="number") for name in self._names]
        body = [self._line(name, row) for name, row in lines]
        return _scrolled(label, element("thead", element("tr", *heads)), element("tbody", *body))

    def _line(self, name: str, row: dict[str, Any]) -> Markup:
        cells = [element("th", named(name), scope="row")]
        if self._ranged:
            low, mean, high = row["min"], row.get("mean"), row["max"]
            told = f"from {self._cell(low)} to {self._cell(high)}"
            told += f", mean {self._cell(mean)}" if isinstance(mean, int | float) else ""
            scale = self._scale(row["event_type"])
            cells.append(
                element(
                    "td",
                    range_bar(scale, low, mean if isinstance(mean, int | float) else None, high, told),
                    class_="figure",
                )
            )
        if self._shared:
            share = row["anomalies"] / row["count"] if row["count"] else 0.0
            told = f"{share:.1%}" if share == 0 or share >= 0.001 else "below 0.1%"
            cells.append(element("td", told, share_bar(share, f"{told} anomalies"), class_="share"))
        cells += [element("td", self._cell(row.get(each)), class_="number") for each in self._names]
        return element("tr", *cells)

    def _scale(self, event_type: str) -> Scale:
        total = next(row for row in self._totals if row["event_type"] == event_type)
        rule = self._rules.get(event_type)
        low = None if rule is None or rule.low is None else float(rule.low)
        high = None if rule is None or rule.high is None else float(rule.high)
        ends = [float(total["min"]), float(total["max"]), *(bound for bound in (low, high) if bound is not None)]
        return Scale(min(ends), max(ends), low, high)

    def _title(self, name: str) -> str:
        return "latency (s)" if name == "latency" else shown(heading(name, [*self._patients, *self._totals]))

    def _cell(self, value: Any) -> str:
        if value is None:
            return "–"
        if isinstance(value, float):
            return f"{value:,.{self._places}f}"
        return f"{value:,}" if isinstance(value, int) else shown(str(value))


def _are_numbers(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return bool(rows) and all(isinstance(row.get(name), int | float) for row in rows)


def _coverage(account: Account) -> list[Markup]:
    counted = [d for d in account.downloads if d.coverage is not None]
    coverages = [d.coverage for d in counted if d.coverage is not None]
    timeline = Timeline.of(coverages)
    if timeline is None:
        return []
    covering = [d.coverage for d in counted if d.coverage is not None and d.verdict.counts]
    gaps = timeline.gaps(covering)
    lanes = [_all_lane(timeline, covering, gaps)]
    if len(counted) <= MAX_LANES:
        most = max((max(timeline.columns([c]).values(), default=1) for c in coverages), default=1)
        lanes += [_download_lane(timeline, download, most) for download in counted]
    start, end = (_time(hour * HOUR_US) for hour in (timeline.start, timeline.end))
    middle = _time((timeline.start + timeline.end) // 2 * HOUR_US)
    axis = element("div", *(element("span", each) for each in (start, middle, end)), class_="axis")
    unit = "hour" if timeline.column_hours == 1 else f"{timeline.column_hours:,} hours"
    told = f"Rows per {unit}, in UTC; frames are what the metadata announces, hatched parts are times without any row."
    many = f" There are {len(counted):,} downloads, too many for a lane each." if len(counted) > MAX_LANES else ""
    return [
        element("h2", "Coverage over time"),
        element("p", told + many, class_="soft"),
        element("figure", *lanes, element("div", element("span"), axis, class_="lane"), class_="lanes"),
        *_gaps(timeline, gaps),
    ]


def _all_lane(timeline: Timeline, covering: Sequence[Coverage], gaps: Sequence[tuple[int, int]]) -> Markup:
    columns = timeline.columns(covering)
    told = f"All downloads: {len(gaps):,} gaps" if gaps else "All downloads: no gap"
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
    told = f"{download.rows:,} rows"
    if covered.first_us is not None and covered.last_us is not None:
        told += f" from {_time(covered.first_us)} to {_time(covered.last_us)}"
    if announced is not None:
        told += f", announced from {_time(announced[0])} to {_time(announced[1])}"
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
        element("li", f"{_time(a * HOUR_US)} to {_time(b * HOUR_US)}: {b - a:,} {'hour' if b - a == 1 else 'hours'}")
        for a, b in sorted(longest)
    ]
    total = sum(end - start for start, end in gaps)
    told = f"{len(gaps):,} {'gap' if len(gaps) == 1 else 'gaps'} of {least} or more, {total:,} hours in all"
    told += f"; the {len(lines)} longest:" if len(lines) < len(gaps) else ":"
    return [element("p", told), element("ul", *lines)]


def _account(account: Account) -> list[Markup]:
    rate = account.rows / account.elapsed_s if account.elapsed_s > 0 else 0.0
    fetched = sum(d.fetched_bytes for d in account.downloads)
    attempts = sum(d.attempts - 1 for d in account.downloads)
    missing = sum(sum(d.missing_values.values()) for d in account.downloads if d.verdict.counts)
    facts: list[tuple[str, object]] = [
        ("Time taken", f"{account.elapsed_s:,.2f} s, {rate:,.0f} rows/s"),
        ("Fetched", size(fetched)),
        ("Retries", f"{attempts:,}"),
        ("Bad rows", f"{account.bad_rows:,}"),
        ("Rows without a value", f"{missing:,}"),
        ("Rows not asked for", f"{account.filtered_rows:,}"),
        ("Made by", f"mockexport {account.version}, engine {account.engine}"),
    ]
    heads = [element("th", "Download", scope="col"), element("th", "Verdict", scope="col")]
    heads += [
        element("th", head, scope="col", class_="number")
        for head in ("rows", "bad rows", "without value", "attempts", "received", "fetched")
    ]
    # Those with something to say are not the ones that are left out.
    wanted = sorted(account.downloads, key=lambda d: d.verdict.complete)[:MAX_ROWS]
    kept = {d.download_id for d in wanted}
    lines = [_account_line(d) for d in account.downloads if d.download_id in kept]
    left_out = len(account.downloads) - len(lines)
    parts = [element("h2", "Account of the run"), _facts(facts)]
    if left_out:
        parts.append(element("p", f"{left_out:,} complete downloads are left out.", class_="bad"))
    parts.append(_scrolled("Downloads", element("thead", element("tr", *heads)), element("tbody", *lines)))
    return [*parts, *_bad_rows(account)]


def _account_line(download: DownloadAccount) -> Markup:
    numbers = (
        f"{download.rows:,}",
        f"{sum(download.bad_rows.values()):,}",
        f"{sum(download.missing_values.values()):,}",
        f"{download.attempts:,}",
        size(download.received_bytes),
        size(download.fetched_bytes),
    )
    verdict = download.verdict
    kind = "good" if verdict.complete else "bad"
    told = element("span", str(verdict.kind), class_=kind)
    why = f": {shown('; '.join(verdict.reasons))}" if verdict.reasons else ""
    return element(
        "tr",
        element("th", named(download.download_id), scope="row"),
        element("td", told, why, class_="text"),
        *(element("td", number, class_="number") for number in numbers),
    )


def _bad_rows(account: Account) -> list[Markup]:
    lines = []
    for download in account.downloads:
        if download.bad_rows:
            reasons = ", ".join(f"{number:,} {reason}" for reason, number in sorted(download.bad_rows.items()))
            first = ", ".join(f"line {bad.line:,} ({bad.reason})" for bad in download.first_bad_rows)
            lines.append(element("li", named(download.download_id), f": {reasons}. The first: {first}."))
    if not lines:
        return []
    more = (
        element("p", f"{len(lines) - MAX_ROWS:,} further downloads have bad rows.") if len(lines) > MAX_ROWS else None
    )
    return [element("h3", "Bad rows, which are part of no statistic"), element("ul", *lines[:MAX_ROWS], more)]


def _verdicts(downloads: Sequence[DownloadAccount]) -> str:
    kinds: dict[str, int] = {}
    for download in downloads:
        kinds[download.verdict.kind] = kinds.get(download.verdict.kind, 0) + 1
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.items()) or "none"


def _marked(verdict: Verdict) -> list[Markup]:
    return [] if verdict.complete else [element("span", f" {verdict.kind}", class_="bad")]


def _facts(facts: Sequence[tuple[str, object]]) -> Markup:
    return element("dl", *(element("div", element("dt", name), element("dd", fact)) for name, fact in facts))


def _scrolled(label: str, *parts: Markup) -> Markup:
    return element("div", element("table", *parts), class_="scroll", role="region", aria_label=label, tabindex="0")


def _time(time_us: int) -> str:
    text = format_time(time_us) if _has_date(time_us) else "beyond the calendar"
    return text.replace("T", " ").replace(":00Z", " UTC") if text.endswith(":00Z") else text.replace("T", " ")


def _has_date(time_us: int) -> bool:
    # Years 1 to 9999, as rows have them; a bucket may end after that.
    return -62_135_596_800_000_000 <= time_us < 253_402_300_800_000_000
