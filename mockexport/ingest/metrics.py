"""Few and telling numbers, as Prometheus text. No client library: the format is a page, a registry would be a
process-wide setting, and counting must cost nothing where readings come in. A test reads it as Prometheus does.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from mockexport.ingest.admission import Admission
from mockexport.ingest.store import Store

__all__ = ["CONTENT_TYPE", "Histogram", "Metrics", "render"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# From a commit on a fast disk to what a caller gives up on.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """How often a duration fell where. Observed from one thread, read from any: a torn read is a reading apart."""

    def __init__(self, bounds: Sequence[float] = _SECONDS) -> None:
        self.bounds: tuple[float, ...] = tuple(bounds)
        self.counts: list[int] = [0] * (len(bounds) + 1)
        self.total: float = 0.0

    def observe(self, value: float) -> None:
        """Count one duration, in seconds."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str, labels: str = "") -> Iterable[str]:
        """Return the samples in Prometheus' text format; `labels` are further ones, each `name="value"`."""
        running = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            yield f'{name}_bucket{{{labels}{"," if labels else ""}le="{bound}"}} {running}'
        braced = f"{{{labels}}}" if labels else ""
        yield f"{name}_sum{braced} {self.total!r}"
        yield f"{name}_count{braced} {running}"


class Metrics:
    """What the application itself counts; the store's parts count for themselves."""

    def __init__(self) -> None:
        self.rejected = 0
        self.refused = 0
        self.commit_seconds: Histogram = Histogram()
        self.query_seconds: Histogram = Histogram()
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.request_seconds: dict[str, Histogram] = {}

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered; a status of 0 is none: the client had left."""
        self.requests[method, route, status] += 1
        if route not in self.request_seconds:
            self.request_seconds[route] = Histogram()
        self.request_seconds[route].observe(seconds)


def render(metrics: Metrics, store: Store, readings: Admission, batches: Admission) -> str:
    """Return everything as Prometheus text."""
    journal, compaction = store.journal.counts, store.compactor.counts
    lines: list[str] = []

    def head(name: str, kind: str, meaning: str) -> None:
        lines.append(f"# HELP heart_rate_{name} {meaning}")
        lines.append(f"# TYPE heart_rate_{name} {kind}")

    def metric(name: str, kind: str, meaning: str, value: float | Histogram) -> None:
        head(name, kind, meaning)
        name = f"heart_rate_{name}"
        lines.extend(value.lines(name) if isinstance(value, Histogram) else [f"{name} {value}"])

    metric("accepted_total", "counter", "Readings acknowledged, repeated ones included.", journal.accepted)
    metric("rejected_total", "counter", "Readings refused as invalid.", metrics.rejected)
    metric(
        "refused_requests_total",
        "counter",
        "Requests answered 503.",
        metrics.refused + readings.refused + batches.refused,
    )
    metric("under_way", "gauge", "Posts being worked on, but for batches.", readings.under_way)
    metric("under_way_limit", "gauge", "How many of them may be, for now.", int(readings.limit))
    metric("batches_under_way", "gauge", "KiB of batches being worked on.", batches.under_way)
    metric("batches_under_way_limit", "gauge", "How much of that may be, for now.", int(batches.limit))
    metric(
        "duplicate_total",
        "counter",
        "Readings that repeated a stored one, found on arrival or when merged.",
        journal.duplicates + compaction.duplicates,
    )
    metric(
        "conflicting_total",
        "counter",
        "Readings that contradicted a stored one, found on arrival or when merged.",
        journal.conflicts + compaction.conflicts,
    )
    metric("journal_rows", "gauge", "Readings in the journal, not yet in Parquet.", store.journal.depth)
    metric("journal_oldest_seconds", "gauge", "Age of the oldest of them.", round(store.journal.oldest_age_s(), 3))
    metric("journal_waiting", "gauge", "Readings that wait for a commit.", store.journal.waiting)
    metric("commit_seconds", "histogram", "Time of a group commit.", metrics.commit_seconds)
    metric("compactions_total", "counter", "Compaction passes that took effect.", compaction.passes)
    metric("compaction_failures_total", "counter", "Compaction passes that did not.", compaction.failures)
    metric("query_seconds", "histogram", "Time of a query for minute averages.", metrics.query_seconds)
    metric(
        "damaged_days", "gauge", "Days whose stored readings are known to be damaged.", len(store.health().damaged_days)
    )
    head("requests_total", "counter", "Requests that reached the application, by route and status.")
    for (method, route, status), count in sorted(metrics.requests.items()):
        labels = f'method="{method}",route="{route}",status="{status}"'
        lines.append(f"heart_rate_requests_total{{{labels}}} {count}")
    head("request_seconds", "histogram", "Time from a request's head to its reply's end, by route.")
    for route, histogram in sorted(metrics.request_seconds.items()):
        lines.extend(histogram.lines("heart_rate_request_seconds", f'route="{route}"'))
    return "\n".join(lines) + "\n"
