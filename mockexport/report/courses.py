"""The course of values over time and their distribution, as figures on the page.

Rules: a figure's size is bounded whatever the data, and its title says in words what it shows.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from mockexport.model import VALUE_SCALE, AnomalyRule
from mockexport.reducers.course import Piece
from mockexport.reducers.drawing import DRAWING, Drawing
from mockexport.report.charts import HOUR_US, WIDTH, Scale, drawing, outline, rectangle, short
from mockexport.report.markup import Markup, element, figure, named
from mockexport.report.plain import counted, when

__all__ = ["Drawings", "course_parts", "drawings_of", "own_courses"]

# By patient, None for all of them, and event type.
Drawings = dict[tuple[str | None, str], Drawing]

# Pieces of time that are drawn; on a patient's course, which is one of many.
MAX_PIECES, MAX_OWN_PIECES = 240, 48
# Event types that are drawn: a page is read from its top.
MAX_DRAWN_TYPES = 40
MAX_BARS = 60
_HEIGHT, _STRIP = 160, 24


def drawings_of(rows: Sequence[dict[str, Any]]) -> Drawings:
    """Take the drawings out of a report's flat rows."""
    found: Drawings = {}
    for row in rows:
        drawn = row.pop(DRAWING, None)
        if drawn is not None:
            found[row["patient_id"], row["event_type"]] = drawn
    return found


def course_parts(
    drawings: Drawings, totals: Sequence[Mapping[str, Any]], rules: Mapping[str, AnomalyRule], places: int
) -> list[Markup]:
    """Return the course and the distribution of each event type."""
    of_types = [(row, drawings[None, row["event_type"]]) for row in totals if (None, row["event_type"]) in drawings]
    if not of_types:
        return []
    parts = [
        element("h2", "Course over time"),
        element(
            "p",
            "The line is the median, the band reaches from the 5th percentile to the 95th, the shaded part is within"
            " the bounds. Red marks below show when there were anomalies, the higher the larger their share.",
            class_="soft",
        ),
    ]
    for row, drawn in of_types[:MAX_DRAWN_TYPES]:
        event_type = row["event_type"]
        pieces = list(drawn.pieces(MAX_PIECES))
        charts = [
            _course(drawn, pieces, rules.get(event_type), places, with_words=True),
            _distribution(drawn, rules.get(event_type), places),
        ]
        told = _share(pieces, ruled=event_type in rules)
        parts += [
            element("h3", named(event_type), element("span", f" {told}", class_="bounds")),
            element("div", *charts, class_="pair"),
        ]
    if len(of_types) > MAX_DRAWN_TYPES:
        parts.append(
            element("p", f"{len(of_types) - MAX_DRAWN_TYPES:,} further event types are not drawn.", class_="note")
        )
    return parts


def own_courses(
    drawings: Drawings, rules: Mapping[str, AnomalyRule], groups: int, places: int
) -> tuple[list[Markup], dict[tuple[str | None, str], int]]:
    """Return the courses of patients, to be unfolded, and which number each has, from 0: those with most anomalies."""
    of_patients = [key for key in drawings if key[0] is not None]
    if not of_patients:
        return [], {}
    found = {key: list(drawings[key].pieces(MAX_OWN_PIECES)) for key in of_patients}
    places_of = {key: number for number, key in enumerate(of_patients)}
    lines = []
    for (patient, event_type), pieces in found.items():
        drawn = drawings[patient, event_type]
        told = element(
            "summary", named(patient or ""), ", ", named(event_type), f": {_share(pieces, ruled=event_type in rules)}"
        )
        chart = _course(drawn, pieces, rules.get(event_type), places, with_words=False)
        number = places_of[patient, event_type]
        lines.append(element("details", told, chart, id=f"course-{number}", class_="own"))
    chosen = "" if len(lines) == groups else f" Of {groups:,}, those with the largest shares of anomalies."
    return [
        element("h3", "A patient's own course"),
        element("p", f"Unfold a line to see it.{chosen}", class_="soft"),
        element("div", *lines, class_="courses"),
    ], places_of


def _share(pieces: Sequence[Piece], *, ruled: bool) -> str:
    values, anomalies = sum(piece.count for piece in pieces), sum(piece.anomalies for piece in pieces)
    if not ruled:
        return f"{counted(values, 'value')}, no bounds"
    share = anomalies / values if values else 0.0
    told = f"{share:.1%}" if share == 0 or share >= 0.001 else "below 0.1%"
    return f"{told} of {counted(values, 'value')} are anomalies"


def _course(
    drawn: Drawing, pieces: Sequence[Piece], rule: AnomalyRule | None, places: int, *, with_words: bool
) -> Markup:
    hours = pieces[0].hours
    start, end = pieces[0].hour, pieces[-1].hour + hours
    scale = _scale(min(p.p5 for p in pieces), max(p.p95 for p in pieces), rule)

    def x(hour: float) -> float:
        return (hour - start) / (end - start) * WIDTH

    def y(value: float) -> float:
        return _HEIGHT - scale.at(value) / WIDTH * _HEIGHT

    unit = "hour" if hours == 1 else f"{hours:,} hours"
    parts = [element("title", f"Median, 5th and 95th percentile by {unit}")]
    if rule is not None:
        top = y(scale.high if scale.normal_high is None else scale.normal_high)
        bottom = y(scale.low if scale.normal_low is None else scale.normal_low)
        parts.append(rectangle("band", 0, top, WIDTH, bottom - top))
    strip = [element("title", f"Share of anomalies by {unit}")]
    for run in _runs(pieces, hours):
        xs = [x(run[0].hour), *(x(piece.hour + hours / 2) for piece in run), x(run[-1].hour + hours)]
        ends = [run[0], *run, run[-1]]
        upper = [(at, y(piece.p95)) for at, piece in zip(xs, ends, strict=True)]
        lower = [(at, y(piece.p5)) for at, piece in zip(xs, ends, strict=True)]
        parts.append(element("path", class_="quantiles", d=outline([*upper, *reversed(lower)]) + "z"))
        middle = [(at, y(piece.median)) for at, piece in zip(xs, ends, strict=True)]
        parts.append(element("path", class_="median", d=outline(middle)))
    most = max((piece.anomalies / piece.count for piece in pieces), default=0.0)
    for piece in pieces:
        if piece.anomalies:
            height = max(piece.anomalies / piece.count / most * _STRIP, 4)
            left, right = x(piece.hour), x(piece.hour + hours)
            strip.append(rectangle("anomalous", left, _STRIP - height, max(right - left - 1, 2), height))
    if with_words:
        parts += [_hover(piece, x(piece.hour), x(piece.hour + hours), places) for piece in pieces]
    marks = drawing("strip", _STRIP, strip)
    axis = element("div", *(element("span", when(hour * HOUR_US)) for hour in (start, end)), class_="axis")
    labels = element(
        "div", element("span", _label(scale.high, scale)), element("span", _label(scale.low, scale)), class_="scale"
    )
    told = element("figcaption", f"by {unit}", class_="soft fine") if with_words else None
    return element(
        "figure", labels, element("div", drawing("course", _HEIGHT, parts), marks, axis, told), class_="chart"
    )


def _hover(piece: Piece, left: float, right: float, places: int) -> Markup:
    """Return an invisible column that says what was in its piece of time, to who points at it."""
    told = (
        f"{when(piece.hour * HOUR_US)}: median {figure(piece.median, places)}, 90% from {figure(piece.p5, places)} to"
        f" {figure(piece.p95, places)}; {counted(piece.count, 'value')},"
        f" {counted(piece.anomalies, 'anomaly', 'anomalies')}"
    )
    at = {"x": short(left), "y": "0", "width": short(right - left), "height": str(_HEIGHT)}
    return element("rect", element("title", told), class_="hover", **at)


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


def _label(value: float, scale: Scale) -> str:
    """Return an end of an axis with as many places as its length makes sense of."""
    width = scale.high - scale.low
    return figure(value, 0 if width >= 20 else 1 if width >= 2 else 2 if width >= 0.2 else 6)


def _distribution(drawn: Drawing, rule: AnomalyRule | None, places: int) -> Markup:
    values = drawn.distribution()
    low, high = drawn.low / VALUE_SCALE, drawn.high / VALUE_SCALE
    least = min((b - a for (a, _), (b, _) in pairwise(values)), default=1.0)
    bars = round((high - low) / least) + 1 if high > low else 1
    # As many values in each bar: with other widths there would be a comb where there is none.
    width = least * -(-bars // MAX_BARS) if bars < 100_000 else (high - low) / MAX_BARS
    begin = low - least / 2 if bars < 100_000 else low
    normal, anomalous = [0] * (MAX_BARS + 1), [0] * (MAX_BARS + 1)
    lowest, highest = (None, None) if rule is None else (rule.low, rule.high)
    for value, times in values:
        place = min(max(int((value - begin) / width), 0), MAX_BARS)
        outside = (lowest is not None and value < float(lowest)) or (highest is not None and value > float(highest))
        (anomalous if outside else normal)[place] += times
    used = max(n for n in range(MAX_BARS + 1) if normal[n] or anomalous[n]) + 1
    most = max(a + b for a, b in zip(normal, anomalous, strict=True))
    parts = [element("title", "How often each value came")]
    step = WIDTH / used
    for place in range(used):
        up = float(_HEIGHT)
        for kind, times in (("density", normal[place]), ("anomalous", anomalous[place])):
            if times:
                height = max(times / most * (_HEIGHT - 4), 1)
                up -= height
                parts.append(rectangle(kind, place * step, up, max(step - 1, 1), height))
    axis = element(
        "div",
        *(element("span", figure(int(value) if value.is_integer() else value, places)) for value in (low, high)),
        class_="axis",
    )
    caption = element("figcaption", "how often each value came", class_="soft fine")
    return element("figure", element("div", drawing("course", _HEIGHT, parts), axis, caption), class_="chart")
