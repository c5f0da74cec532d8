"""Ranges, shares and coverage as inline SVG: drawings without text, stretched to the room there is, with a title each.

Rules: numbers in, markup out; a drawing's size is bounded whatever the data, and says nothing that the words beside it
do not say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from mockexport.formats.coverage import HOUR_US, Coverage
from mockexport.report.markup import Markup, element

__all__ = [
    "GAP_PATTERN", "HOUR_US", "WIDTH", "Scale", "Timeline", "drawing", "lane", "outline", "range_bar", "rectangle",
    "share_bar", "short",
]  # fmt: skip

WIDTH = 1000
LANE_HEIGHT = 28
_FLOOR = f"V{LANE_HEIGHT - 2}z"
# More columns are not told apart on a screen; neighbouring buckets are drawn as one.
MAX_COLUMNS = 240
# Widths of columns that have names, in hours: hours, days, weeks.
_ROUND_HOURS = (1, 2, 3, 4, 6, 8, 12, 24, 48, 168, 336, 672)

GAP_PATTERN = element(
    "svg",
    element(
        "defs",
        element(
            "pattern",
            element("path", d="M0 0V8", class_="hatch"),
            id="gap", width="8", height="8", patternUnits="userSpaceOnUse", patternTransform="rotate(45)",
        ),
    ),
    class_="defs", aria_hidden="true",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scale:
    """What an axis goes from and to, and the normal bounds on it, None where there are none."""

    low: float
    high: float
    normal_low: float | None = None
    normal_high: float | None = None

    def at(self, value: float) -> float:
        """Return where on the drawing a value is."""
        width = self.high - self.low
        return WIDTH / 2 if width <= 0 else (min(max(value, self.low), self.high) - self.low) / width * WIDTH


def range_bar(scale: Scale, low: float, mean: float | None, high: float, told: str) -> Markup:
    """Return a bar from `low` to `high` with a mark at `mean`, before the normal bounds."""
    parts = [element("title", told)]
    if scale.normal_low is not None or scale.normal_high is not None:
        begin = scale.at(scale.low if scale.normal_low is None else scale.normal_low)
        end = scale.at(scale.high if scale.normal_high is None else scale.normal_high)
        parts.append(rectangle("band", begin, 0, end - begin, 24))
    begin, end = scale.at(low), scale.at(high)
    parts.append(rectangle("span", min(begin, WIDTH - 6), 8, max(end - begin, 6), 8))
    if mean is not None:
        parts.append(rectangle("mean", min(max(scale.at(mean) - 3, 0), WIDTH - 6), 4, 6, 16))
    return drawing("range", 24, parts)


def share_bar(share: float, told: str) -> Markup:
    """Return a bar for a share from 0 to 1; one above 0 is never invisible."""
    width = 0.0 if share <= 0 else max(share * WIDTH, 12)
    parts = [element("title", told), rectangle("rail", 0, 0, WIDTH, 8)]
    return drawing(None, 8, [*parts, rectangle("anomalous", 0, 0, width, 8)] if width else parts)


@dataclass(frozen=True, slots=True)
class Timeline:
    """The time that a drawing shows, in buckets of `bucket_hours`, by hours since 1970."""

    start: int
    end: int
    bucket_hours: int

    @classmethod
    def of(cls, coverages: Sequence[Coverage]) -> "Timeline | None":
        """Return the time that is announced or covered; None if there is none."""
        width = max((covered.bucket_hours for covered in coverages), default=1)
        starts: list[int] = []
        ends: list[int] = []
        for covered in coverages:
            if covered.announced_start_us is not None and covered.announced_end_us is not None:
                starts.append(covered.announced_start_us // HOUR_US)
                ends.append(-(-covered.announced_end_us // HOUR_US))
            if covered.rows:
                starts.append(min(covered.rows))
                ends.append(max(covered.rows) + covered.bucket_hours)
        if not starts:
            return None
        start, end = min(starts), max(ends)
        return cls(start - start % width, end + -end % width, width)

    def x(self, hour: float) -> float:
        """Return where on the drawing an hour is."""
        return (hour - self.start) / max(self.end - self.start, 1) * WIDTH

    @property
    def column_hours(self) -> int:
        """How many hours a column of a drawing stands for."""
        buckets = max((self.end - self.start) // self.bucket_hours, 1)
        least = -(-buckets // MAX_COLUMNS) * self.bucket_hours
        return next((hours for hours in _ROUND_HOURS if hours >= least and hours % self.bucket_hours == 0), least)

    def columns(self, coverages: Sequence[Coverage]) -> dict[int, int]:
        """Return the rows by column, as the hours since 1970 at which it begins, where there are any."""
        found: dict[int, int] = {}
        for covered in coverages:
            for hour, rows in covered.rows.items():
                column = hour - (hour - self.start) % self.column_hours
                found[column] = found.get(column, 0) + rows
        return dict(sorted(found.items()))

    def gaps(self, coverages: Sequence[Coverage]) -> list[tuple[int, int]]:
        """Return the times without a row, from and to hours since 1970; nothing shorter than a bucket is seen."""
        covered = sorted({h - h % self.bucket_hours for coverage in coverages for h in coverage.rows})
        edges = [self.start - self.bucket_hours, *covered, self.end]
        pairs = pairwise(edges)
        return [(a + self.bucket_hours, b) for a, b in pairs if b - a > self.bucket_hours]


def lane(
    timeline: Timeline,
    columns: Mapping[int, int],
    most: int,
    told: str,
    *,
    announced: Sequence[tuple[int, int]] = (),
    gaps: Sequence[tuple[int, int]] = (),
) -> Markup:
    """Return the density of rows over time, of `most` at the highest; announced times framed, gaps hatched."""
    parts = [element("title", told)]
    for start, end in gaps[:MAX_COLUMNS]:
        # A gap is never too short to be seen.
        width = max(timeline.x(end) - timeline.x(start), 3)
        parts.append(rectangle("gap", timeline.x(start), 0, width, LANE_HEIGHT))
    # Neighbours are one outline: a seam between them would look like a gap.
    path, edge = "", -1.0
    for hour, rows in columns.items():
        left, right = timeline.x(hour), min(timeline.x(hour + timeline.column_hours), WIDTH)
        top = LANE_HEIGHT - 2 - max(rows / most * (LANE_HEIGHT - 4), 1.5)
        if left != edge:
            path += f"{_FLOOR if path else ''}M{short(left)} {LANE_HEIGHT - 2}"
        path += f"V{short(top)}H{short(right)}"
        edge = right
    parts.append(element("path", class_="density", d=path + _FLOOR if path else ""))
    for start_us, end_us in announced[:MAX_COLUMNS]:
        left, right = timeline.x(start_us / HOUR_US), timeline.x(end_us / HOUR_US)
        parts.append(rectangle("announced", left, 1, right - left, LANE_HEIGHT - 2))
    return drawing(None, LANE_HEIGHT, parts)


def outline(points: Iterable[tuple[float, float]]) -> str:
    """Return the path of a line through some points."""
    return "M" + "L".join(f"{short(x)} {short(y)}" for x, y in points)


def rectangle(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    """Return a rectangle of a kind that the style knows."""
    numbers = {"x": x, "y": y, "width": width, "height": height}
    return element("rect", class_=kind, **{name: short(number) for name, number in numbers.items()})


def short(number: float) -> str:
    """Return a number of a drawing: a tenth is less than is seen."""
    return f"{number:.1f}".removesuffix(".0")


def drawing(kind: str | None, height: int, parts: Sequence[Markup]) -> Markup:
    """Return an SVG as wide as there is room."""
    return element("svg", *parts, class_=kind, role="img", viewBox=f"0 0 {WIDTH} {height}", preserveAspectRatio="none")
