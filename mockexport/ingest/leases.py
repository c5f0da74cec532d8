"""Who still reads which files: a replaced file is unlinked when the last reader that may know it is done.

A reader takes its lease before it asks the database which files there are, so every reader that may have been told of a
replaced file is on the books when the file is retired; those that come later were not told of it.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Leases"]


class Leases:
    """The books. `remove` unlinks one file; it is called outside the lock, by the last one that leaves."""

    def __init__(self, remove: Callable[[Path], None]) -> None:
        self._remove = remove
        self._lock = threading.Lock()
        self._next = 0
        self._readers: set[int] = set()
        self._retired: list[tuple[set[int], Sequence[Path]]] = []

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold every file that is listed now until the block ends."""
        with self._lock:
            number, self._next = self._next, self._next + 1
            self._readers.add(number)
        try:
            yield
        finally:
            with self._lock:
                self._readers.discard(number)
                for holders, _ in self._retired:
                    holders.discard(number)
                free = self._take_free()
            self._unlink(free)

    def retire(self, files: Sequence[Path]) -> None:
        """Give files up that no list holds any more; they go when the present readers have left."""
        with self._lock:
            self._retired.append((set(self._readers), files))
            free = self._take_free()
        self._unlink(free)

    def statistics(self) -> tuple[int, int]:
        """Return how many readers there are, and how many files wait for them."""
        with self._lock:
            return len(self._readers), sum(len(files) for _, files in self._retired)

    def _take_free(self) -> list[Path]:
        free = [path for holders, files in self._retired if not holders for path in files]
        self._retired = [(holders, files) for holders, files in self._retired if holders]
        return free

    def _unlink(self, paths: list[Path]) -> None:
        for path in paths:
            try:
                self._remove(path)
            except OSError:
                # In no list, so harmless; the next start removes it.
                continue
