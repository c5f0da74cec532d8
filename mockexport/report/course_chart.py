"""One chart of a course over time or of a distribution of values: a drawing, its marks, and the figures behind it.

Rules: a chart's size is bounded by what it is given, and its name says in words what it shows. The drawing is stretched
to the room there is; texts are not, so they stand beside it. What the page's script reads out (charts.js) is rounded
to what can be seen.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import ceil, log10
from typing import Any

from mockexport.model import VALUE_SCALE, AnomalyRule
from mockexport.reducers.course import Piece
from mockexport.reducers.drawing import Drawing
from mockexport.report.axes import time_marks, time_unit, value_marks
from mockexport.report.charts import HOUR_US, WIDTH, Scale, drawing, outline, rectangle, short
from mockexport.report.markup import Markup, data_for_script, element, shown
from mockexport.report.plain import when

__all__ = ["Charts"]

MAX_BARS = 60
_HEIGHT, _STRIP = 160, 24


class Charts:
    """Draws charts, and keeps the figures of each for the page's script."""

    def __init__(self) -> None:
        self._figures: list[dict[str, Any]] = []

    def data(self) -> list[Markup]:
        """Return the figures of all charts that were drawn, for the script."""
        return [data_for_script("charts", self._figures)] if self._figures else []

    def course(self, name: str, pieces: Sequence[Piece], rule: AnomalyRule | None) -> Markup:
        """Return median and band of some pieces over time, and below them the share of anomalies."""
        hours = pieces[0].hours
        start, end = pieces[0].hour, pieces[-1].hour + hours
        scale = _scale(min(p.p5 for p in pieces), max(p.p95 for p in pieces), rule)

        def x(hour: float) -> float:
            return (hour - start) / (end - start) * WIDTH

        def y(value: float) -> float:
            return _HEIGHT - scale.at(value) / WIDTH * _HEIGHT

        times = [(x(hour), label) for hour, label in time_marks(start, end)]
        values = [(y(value), label) for value, label in value_marks(scale.low, scale.high)]
        parts: list[Markup] = []
        if rule is not None:
            top = y(scale.high if scale.normal_high is None else scale.normal_high)
            bottom = y(scale.low if scale.normal_low is None else scale.normal_low)
            parts.append(rectangle("band", 0, top, WIDTH, bottom - top))
        parts.append(_grid(times, values))
        for run in _runs(pieces, hours):
            xs = [x(run[0].hour), *(x(piece.hour + hours / 2) for piece in run), x(run[-1].hour + hours)]
            ends = [run[0], *run, run[-1]]
            upper = [(at, y(piece.p95)) for at, piece in zip(xs, ends, strict=True)]
            lower = [(at, y(piece.p5)) for at, piece in zip(xs, ends, strict=True)]
            parts.append(element("path", class_="quantiles", d=outline([*upper, *reversed(lower)]) + "z"))
            middle = [(at, y(piece.median)) for at, piece in zip(xs, ends, strict=True)]
            parts.append(element("path", class_="median", d=outline(middle)))
        most = max(piece.anomalies / piece.count for piece in pieces)
        marks = "".join(
            _bar(x(p.hour), x(p.hour + hours), _STRIP, max(p.anomalies / p.count / most * _STRIP, 4))
            for p in pieces
            if p.anomalies
        )
        drawings = [drawing("course", _HEIGHT, parts)]
        if marks:
            drawings.append(drawing("strip", _STRIP, [element("path", class_="anomalous", d=marks)]))
        places = _places(scale.high - scale.low)
        self._figures.append(
            {
                "of": shown(name),
                "start": start,
                "end": end,
                "hours": hours,
                "ruled": rule is not None,
                "places": places,
                "pieces": [
                    [
                        (p.hour - start) // hours,
                        p.count,
                        p.anomalies,
                        *(_rounded(value, places) for value in (p.p5, p.median, p.p95)),
                    ]
                    for p in pieces
                ],
            }
        )
        unit = time_unit(hours)
        label = f"Median, 5th and 95th percentile by {unit}, and the share of anomalies"
        told = f"{_spanned(start, end)}, by {unit}"
        return self._figure(label, drawings, times, values, told)

    def distribution(self, name: str, drawn: Drawing, rule: AnomalyRule | None) -> Markup:
        """Return how often each value came."""
        found = drawn.distribution()
        low, high = drawn.low / VALUE_SCALE, drawn.high / VALUE_SCALE
        least = min((b - a for (a, _), (b, _) in pairwise(found)), default=1.0)
        bars = round((high - low) / least) + 1 if high > low else 1
        # As many values in each bar: with other widths there would be a comb where there is none.
        width = least * -(-bars // MAX_BARS) if bars < 100_000 else (high - low) / MAX_BARS
        begin = low - least / 2 if bars < 100_000 else low
        lowest, highest = (None, None) if rule is None else (rule.low, rule.high)
        # The least and the greatest value, how many values, and how many of them anomalies.
        counts: dict[int, list[Any]] = {}
        for value, times in found:
            bar = counts.setdefault(min(max(int((value - begin) / width), 0), MAX_BARS), [value, value, 0, 0])
            outside = (lowest is not None and value < float(lowest)) or (highest is not None and value > float(highest))
            bar[1] = value
            bar[2] += times
            bar[3] += times if outside else 0
        used = max(counts) + 1
        step, most = WIDTH / used, max(bar[2] for bar in counts.values())
        paths = {"density": "", "anomalous": ""}
        for place, (_, _, all_of_it, outside) in counts.items():
            up = float(_HEIGHT)
            for kind, times in (("density", all_of_it - outside), ("anomalous", outside)):
                if times:
                    height = max(times / most * (_HEIGHT - 4), 1)
                    paths[kind] += _bar(place * step, (place + 1) * step, up, height)
                    up -= height
        places = _places(width * used)
        self._figures.append(
            {
                "of": shown(name),
                "places": places,
                "slots": used,
                "ruled": rule is not None,
                "bars": [
                    [place, _rounded(bar[0], places), _rounded(bar[1], places), *bar[2:]]
                    for place, bar in counts.items()
                ],
            }
        )
        end = begin + width * used
        marks = [((value - begin) / (end - begin) * WIDTH, label) for value, label in value_marks(begin, end)]
        parts = [element("path", class_=kind, d=path) for kind, path in paths.items() if path]
        return self._figure("How often each value came", [drawing("course", _HEIGHT, parts)], marks, [], None)

    def _figure(
        self,
        label: str,
        drawings: Sequence[Markup],
        across: Sequence[tuple[float, str]],
        up: Sequence[tuple[float, str]],
        told: str | None,
    ) -> Markup:
        """Return drawings with their marks; `told` is below them, or else their label."""
        plot = element("div", *drawings, class_="plot", data_chart=len(self._figures) - 1)
        below = element("figcaption", told or label.lower(), class_="soft fine")
        marks = _marks_up(up) if up else None
        return element("figure", marks, plot, _marks_across(across), below, class_="chart", aria_label=label)


def _spanned(start: int, end: int) -> str:
    """Return a span of hours since 1970 in words."""
    first, last = (when(hour * HOUR_US).removesuffix(" UTC") for hour in (start, end))
    return f"{first} to {last} UTC"


def _bar(left: float, right: float, bottom: float, height: float) -> str:
    """Return the outline of a bar, with a gap to the next one where they are wide enough for it."""
    width = max(right - left - min((right - left) / 8, 1), 1)
    return f"M{short(left)} {short(bottom)}v{short(-height)}h{short(width)}V{short(bottom)}z"


def _grid(across: Iterable[tuple[float, str]], up: Iterable[tuple[float, str]]) -> Markup:
    lines = [f"M{short(x)} 0V{_HEIGHT}" for x, _ in across] + [f"M0 {short(y)}H{WIDTH}" for y, _ in up]
    return element("path", class_="grid", d="".join(lines))


def _marks_across(marks: Iterable[tuple[float, str]]) -> Markup:
    texts = []
    for number, (x, label) in enumerate(marks):
        anchor = "start" if x < WIDTH * 0.025 else "end" if x > WIDTH * 0.975 else "middle"
        at = f"{short(x / WIDTH * 100)}%"
        # Where there is little room, every other one will do.
        kind = "between" if number % 2 else None
        texts.append(element("text", label, class_=kind, x=at, dy="1em", text_anchor=anchor))
    return element("svg", *texts, class_="across", aria_hidden="true")


def _marks_up(marks: Sequence[tuple[float, str]]) -> Markup:
    texts = [
        element("text", label, x="100%", y=f"{short(y / _HEIGHT * 100)}%", dy=".35em", text_anchor="end")
        for y, label in marks
    ]
    longest = max(len(label) for _, label in marks)
    return element("svg", *texts, class_="up", width=f"{0.62 * longest:.1f}em", aria_hidden="true")


def _runs(pieces: Sequence[Piece], hours: int) -> Iterator[list[Piece]]:
    """Yield pieces that follow each other without a gap."""
    run: list[Piece] = []
    for piece in pieces:
        if run and piece.hour != run[-1].hour + hours:
            yield run
            run = []
        run.append(piece)
    yield run


def _scale(low: float, high: float, rule: AnomalyRule | None) -> Scale:
    """Return a scale with room above and below, on which bounds are that are not far off."""
    width = high - low or abs(high) or 1.0
    bounds = [] if rule is None else [float(bound) for bound in (rule.low, rule.high) if bound is not None]
    near = [bound for bound in bounds if low - width / 2 <= bound <= high + width / 2]
    low, high = min([low, *near]) - width / 12, max([high, *near]) + width / 12
    return Scale(
        low,
        high,
        None if rule is None or rule.low is None else float(rule.low),
        None if rule is None or rule.high is None else float(rule.high),
    )


def _places(width: float) -> int:
    """Return the decimal places in which a hundredth of an axis is seen."""
    return min(max(ceil(-log10(width / 100)), 0), 15) if width > 0 else 2


def _rounded(value: float, places: int) -> float | int:
    return round(value, places) if places else round(value)
