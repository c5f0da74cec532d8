"""The report as a page for the browser: one file that needs no network, on a screen or on paper.

What does not fit is counted and said. The page holds patients' ids and figures: it is as private as the report.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from mockexport.model import ANOMALY_RULES, AnomalyRule, VerdictKind
from mockexport.report.charts import GAP_PATTERN, Scale, range_bar, share_bar
from mockexport.report.course_chart import Charts
from mockexport.report.courses import course_parts, drawings_of, own_courses
from mockexport.report.html_account import account_parts, coverage_parts, facts
from mockexport.report.listed import listed
from mockexport.report.markup import Markup, data_for_script, element, figure, named, page, shown, table
from mockexport.report.plain import columns_of, counted, heading, when
from mockexport.report.report import Report

__all__ = ["MAX_ROWS", "to_html"]

# Lines of a table; a page of thousands is read by nobody, and a browser takes long over it.
MAX_ROWS = 200
# Characters of figures that stand side by side on a sheet of A4, beside a range and without one; further statistics are
# a table below.
_BESIDE_A_RANGE, _ACROSS = 60, 88

_KEY = ("patient_id", "event_type")


def to_html(
    report: Report[Any], *, rules: Mapping[str, AnomalyRule] = ANOMALY_RULES, round_to: int | None = None
) -> str:
    """Return the report as a page of HTML, to be kept as UTF-8.

    The picture of coverage over time is there if the run was asked for it (`coverage=True`).

    Args:
        report: any report.
        rules: whose bounds are drawn behind the ranges: those that the reducer had. An event type without a rule and
            without an anomaly has no share of them.
        round_to: decimal places of fractions; two by default.
    """
    account = report.account
    pages = _Page(report.allowing_incomplete(), rules, 2 if round_to is None else round_to)
    courses, patients = pages.courses(), pages.patients()
    return page(
        f"Report of {account.export_id}",
        GAP_PATTERN,
        element("h1", "Report of ", named(account.export_id)),
        *pages.headline(),
        *pages.totals(),
        *courses,
        *patients,
        *coverage_parts(account),
        *account_parts(account),
        script=bool(patients),
    )


class _Page:
    """The parts that show statistics."""

    def __init__(self, report: Report[Any], rules: Mapping[str, AnomalyRule], places: int) -> None:
        self._report, self._rules, self._places = report, rules, places
        rows = list(report.rows(totals=True))
        self._drawings = drawings_of(rows)
        self._charts = Charts()
        self._patients = [row for row in rows if row["patient_id"] is not None]
        self._totals = [row for row in rows if row["patient_id"] is None]
        names, self._maps = columns_of(rows)
        self._names = [name for name in names if name not in _KEY]
        self._ranged = _are_numbers(rows, "min") and _are_numbers(rows, "max")
        self._counted = _are_numbers(rows, "count")
        self._shared = self._counted and _are_numbers(rows, "anomalies")

    def headline(self) -> list[Markup]:
        account = self._report.account
        counted = [d for d in account.downloads if d.verdict.counts]
        covered = [d.coverage for d in counted if d.coverage is not None and d.coverage.first_us is not None]
        told: list[tuple[str, object]] = [("Source", shown(account.source))]
        if covered:
            first = min(c.first_us for c in covered if c.first_us is not None)
            last = max(c.last_us for c in covered if c.last_us is not None)
            told += [("First event", _to_the_second(first)), ("Last event", _to_the_second(last))]
        told += [
            ("Rows", f"{account.rows:,}"),
            ("Patients", f"{len(self._report.patients):,}"),
            ("Downloads", ", ".join(f"{number:,} {kind}" for kind, number in account.verdicts.items()) or "none"),
        ]
        notes = [element("p", f"Note: {shown(str(note))}") for note in self._report.notes]
        synthetic = [element("p", "The data is synthetic: the mock server made it up.")] if account.synthetic else []
        return [self._state(), *synthetic, *self._doubts(), *notes, facts(told)]

    def _state(self) -> Markup:
        incomplete, downloads = self._report.incomplete, self._report.account.downloads
        if not incomplete:
            return element("p", "Complete: every download is in the report.", class_="verdict good")
        return element(
            "p",
            f"Incomplete: {len(incomplete):,} of {counted(len(downloads), 'download')} failed or not as "
            "announced. The figures below are not those of the whole export.",
            class_="bad",
        )

    def _doubts(self) -> list[Markup]:
        """Return what a complete report may lack all the same."""
        account = self._report.account
        unverified = sum(d.verdict.kind is VerdictKind.UNVERIFIABLE for d in account.downloads)
        told = []
        if unverified:
            told.append(
                f"{unverified:,} of {len(account.downloads):,} downloads could not be verified: "
                "how many rows they should have was announced nowhere."
            )
        return [element("p", " ".join(told))] if told else []

    def totals(self) -> list[Markup]:
        parts = [element("h2", "Totals by event type")]
        if not self._totals:
            return [*parts, element("p", "There is no row with a value.")]
        if explained := self._explained():
            parts.append(element("p", explained, class_="soft"))
        kept = self._types()
        if len(kept) < len(self._totals):
            chosen = "with the most values" if self._counted else "first by name"
            left_out = len(self._totals) - len(kept)
            told = f"{len(kept):,} of {len(self._totals):,} event types, those {chosen}; {left_out:,} left out."
            parts.append(element("p", told, class_="note"))
        lines = [((named(row["event_type"]), *self._bounds(row["event_type"])), row) for row in kept]
        parts += self._tables("Totals", "Event type", lines)
        if self._maps:
            maps = ", ".join(map(shown, self._maps))
            parts.append(element("p", f"Not shown here: {maps}, which the JSON report has.", class_="soft"))
        return parts

    def _explained(self) -> str:
        told = []
        if self._ranged:
            bar = "A bar reaches from the lowest value to the highest"
            told.append(bar + (", with a mark at the mean." if "mean" in self._names else "."))
            if any(row["event_type"] in self._rules for row in self._totals):
                told.append("The shaded part is within the bounds; values outside are anomalies.")
            told.append("All bars of an event type have one scale.")
        if "latency" in self._names:
            told.append("Latency is the mean time between one value and the next.")
        return " ".join(told)

    def courses(self) -> list[Markup]:
        """Return the course and the distribution of each event type, if the run has kept them."""
        return course_parts(self._drawings, self._types(), self._rules, self._charts)

    def patients(self) -> list[Markup]:
        """Return all patients for the script, the most anomalous as they are, and their own courses."""
        if not self._patients:
            return []
        own, numbers = own_courses(self._drawings, self._rules, len(self._patients), self._charts)
        kept, data = listed(self._patients, self._names, numbers, self._places)
        heads = [self._title(name) for name in self._names]
        left_out = len(self._patients) - kept
        told = (
            f"{left_out:,} of {len(self._patients):,} lines, those with the smallest shares of anomalies, are left out."
        )
        return [
            element("h2", "Patients"),
            *([element("p", told, class_="note")] if left_out else []),
            element("div", id="all-patients"),
            data_for_script("patients", data | {"heads": heads}),
            element("div", *self._most_anomalous(), class_="as-it-is"),
            *own,
            *self._charts.data(),
        ]

    def _most_anomalous(self) -> list[Markup]:
        parts: list[Markup] = []
        types = self._types()
        for total in types:
            event_type = total["event_type"]
            rows = [row for row in self._patients if row["event_type"] == event_type]
            kept = self._kept(rows, total, max(MAX_ROWS // len(types), 10))
            parts.append(element("h3", named(event_type), *self._bounds(event_type)))
            if len(kept) < len(rows):
                worst = "with the largest shares of anomalies"
                chosen = worst if self._has_anomalies(total) else "first by id"
                told = f"{len(kept):,} of {len(rows):,} patients, those {chosen}; {len(rows) - len(kept):,} left out."
                parts.append(element("p", told, class_="note"))
            lines = [((named(row["patient_id"]),), row) for row in kept]
            parts += self._tables(f"Patients, {shown(event_type)}", "Patient", lines)
            if len(parts) > 2 * MAX_ROWS:
                parts.append(element("p", "Further event types are left out.", class_="note"))
                break
        return parts

    def _types(self) -> Sequence[dict[str, Any]]:
        """Return the totals of the event types that are shown, in order."""
        if len(self._totals) <= MAX_ROWS:
            return self._totals
        if not self._counted:
            return self._totals[:MAX_ROWS]
        most = sorted(self._totals, key=lambda row: (-row["count"], row["event_type"]))[:MAX_ROWS]
        return sorted(most, key=lambda row: str(row["event_type"]))

    def _has_anomalies(self, total: Mapping[str, Any]) -> bool:
        return self._shared and total["anomalies"] > 0

    def _kept(self, rows: Sequence[dict[str, Any]], total: Mapping[str, Any], most: int) -> Sequence[dict[str, Any]]:
        if len(rows) <= most:
            return rows
        if not self._has_anomalies(total):
            return rows[:most]
        worst = sorted(rows, key=lambda row: (-row["anomalies"] / row["count"], row["patient_id"]))[:most]
        return sorted(worst, key=lambda row: str(row["patient_id"]))

    def _bounds(self, event_type: str) -> list[Markup]:
        if not self._shared and not self._ranged:
            return []
        rule = self._rules.get(event_type)
        if rule is None:
            return []
        low, high = (None if bound is None else f"{Decimal(bound):,f}" for bound in (rule.low, rule.high))
        told = f"bounds {low} to {high}" if low and high else f"lower bound {low}" if low else f"upper bound {high}"
        return [element("span", f" {told}", class_="bounds")]

    def _tables(
        self, label: str, first: str, lines: Sequence[tuple[tuple[Markup, ...], dict[str, Any]]]
    ) -> list[Markup]:
        """Return a table, and where there are more statistics than stand side by side, further ones."""
        rows = [row for _, row in lines]
        cells = {name: self._column(name, rows) for name in self._names}
        drawn: list[Markup] = []
        for block in self._blocks(cells):
            heads: list[tuple[str, str | None]] = [(first, None)]
            columns: list[Sequence[object]] = [[ids for ids, _ in lines]]
            if self._ranged and not drawn:
                heads.append(("range", "figure"))
                columns.append([self._range(row) for row in rows])
            if self._shared and not drawn:
                heads.append(("share of anomalies", "share"))
                columns.append([self._share(row) for row in rows])
            heads += [(self._title(name), "number") for name in block]
            columns += [cells[name] for name in block]
            drawn.append(table(label if not drawn else f"{label}, continued", heads, list(zip(*columns, strict=True))))
        return drawn

    def _blocks(self, cells: Mapping[str, Sequence[str]]) -> list[list[str]]:
        blocks: list[list[str]] = [[]]
        used = 0
        for name, column in cells.items():
            width = 2 + max([len(self._title(name)), *map(len, column)])
            beside = len(blocks) == 1 and (self._ranged or self._shared)
            if blocks[-1] and used + width > (_BESIDE_A_RANGE if beside else _ACROSS):
                blocks.append([])
                used = 0
            blocks[-1].append(name)
            used += width
        return blocks

    def _column(self, name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return a column's figures, all with fractions if one has them."""
        values = [row.get(name) for row in rows]
        places = self._places if any(isinstance(value, float) for value in values) else 0
        return [figure(float(value) if places and type(value) is int else value, self._places) for value in values]

    def _range(self, row: Mapping[str, Any]) -> Markup:
        low, mean, high = row["min"], row.get("mean"), row["max"]
        told = f"from {figure(low, self._places)} to {figure(high, self._places)}"
        told += f", mean {figure(mean, self._places)}" if isinstance(mean, int | float) else ""
        scale = self._scale(row["event_type"])
        return range_bar(scale, low, mean if isinstance(mean, int | float) else None, high, told)

    def _share(self, row: Mapping[str, Any]) -> object:
        """Return the share of anomalies; where nothing was asked, that it was not asked."""
        if row["event_type"] not in self._rules and not row["anomalies"]:
            return "no bounds"
        share = row["anomalies"] / row["count"] if row["count"] else 0.0
        told = f"{share:.1%}" if share == 0 or share >= 0.001 else "below 0.1%"
        return (told, share_bar(share, f"{told} anomalies"))

    def _scale(self, event_type: str) -> Scale:
        total = next(row for row in self._totals if row["event_type"] == event_type)
        rule = self._rules.get(event_type)
        low = None if rule is None or rule.low is None else float(rule.low)
        high = None if rule is None or rule.high is None else float(rule.high)
        ends = [float(total["min"]), float(total["max"]), *(bound for bound in (low, high) if bound is not None)]
        return Scale(min(ends), max(ends), low, high)

    def _title(self, name: str) -> str:
        return "latency (s)" if name == "latency" else shown(heading(name, [*self._patients, *self._totals]))


def _to_the_second(time_us: int) -> str:
    return when(time_us // 1_000_000 * 1_000_000)


def _are_numbers(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    return bool(rows) and all(isinstance(row.get(name), int | float) for row in rows)
