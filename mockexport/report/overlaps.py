"""Which downloads hold the same patient's type over the same time: rows that both hold are counted twice, perhaps.

Rules: pure, and of the data alone: the order in which downloads came changes nothing. What is compared is how far each
download's groups reach (reducers.reach); beyond a limit, only how far the downloads do.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge

from mockexport.reducers.reach import unpack_reaches

__all__ = ["MAX_REACHES", "Overlaps", "Reached", "overlaps_of", "without_reaches"]

# Of all downloads together: 12 MB.
MAX_REACHES = 500_000


@dataclass(frozen=True, slots=True)
class Reached:
    """How far in time a download's groups reach: from `first_us` to `last_us` all of them, and each (see reach.py).

    `reaches` are empty where there are too many groups to compare.
    """

    groups: int
    first_us: int
    last_us: int
    reaches: bytes


@dataclass(frozen=True, slots=True)
class Overlaps:
    """How many groups overlap, in which downloads; and downloads that could not be compared and reach alike."""

    groups: int = 0
    downloads: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def without_reaches(reached: Reached) -> Reached:
    """Return what is left where there are too many groups to compare."""
    return replace(reached, reaches=b"")


def overlaps_of(downloads: Sequence[tuple[str, Reached]]) -> Overlaps:
    """Return which of the downloads, by id and in order, overlap."""
    ids = [download_id for download_id, _ in downloads]
    together = _reaching_alike([reached for _, reached in downloads])
    if sum(reached.groups for _, reached in downloads) > MAX_REACHES:
        return Overlaps(unknown=tuple(ids[at] for at in together))
    groups, found = 0, set()
    name = furthest_us = furthest_at = -1
    counted = False
    for reach in merge(*(_numbered(at, downloads[at][1]) for at in together)):
        if reach[0] != name:
            name, _, furthest_us, furthest_at = reach
            counted = False
            continue
        if reach[1] <= furthest_us:
            groups += not counted
            counted = True
            found |= {furthest_at, reach[3]}
        if reach[2] > furthest_us:
            _, _, furthest_us, furthest_at = reach
    return Overlaps(groups, tuple(ids[at] for at in sorted(found)))


def _numbered(at: int, reached: Reached) -> Iterator[tuple[int, int, int, int]]:
    return ((*reach, at) for reach in unpack_reaches(reached.reaches))


def _reaching_alike(all_reached: Sequence[Reached]) -> list[int]:
    """Return the places of those that overlap another as a whole: among the others nothing can overlap."""
    order = sorted(range(len(all_reached)), key=lambda at: (all_reached[at].first_us, all_reached[at].last_us, at))
    found: set[int] = set()
    furthest: int | None = None
    for at in order:
        if furthest is not None and all_reached[at].first_us <= all_reached[furthest].last_us:
            found |= {at, furthest}
        if furthest is None or all_reached[at].last_us > all_reached[furthest].last_us:
            furthest = at
    return sorted(found)
