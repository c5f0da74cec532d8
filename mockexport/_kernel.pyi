from collections.abc import Sequence
from typing import Any

FAMILIES: dict[str, int]

def path() -> str: ...
def use_path(name: str | None = None) -> bool: ...
def count_lines(data: bytes) -> int: ...

class State:
    def __init__(self, rules: Sequence[tuple[bytes, int, int]], families: Sequence[str] = ()) -> None: ...
    def __len__(self) -> int: ...
    @property
    def known(self) -> tuple[int, int]: ...
    def patients(self, count: int, start: int = 0) -> list[str]: ...
    def types(self, count: int, start: int = 0) -> list[str]: ...
    def row(self, number: int) -> tuple[Any, ...]: ...
    def totals(self) -> list[tuple[Any, ...]]: ...
    def merge(self, later: State) -> None: ...
    def dump(self) -> bytes: ...
    def put(
        self,
        patient: str,
        event_type: str,
        count: int,
        total: int,
        low: int,
        high: int,
        anomalies: int,
        first_us: int,
        last_us: int,
        *further: Any,
    ) -> None: ...
    def add_rows(
        self, patients: Sequence[str], times: Sequence[int], types: Sequence[str], values: Sequence[int]
    ) -> None: ...

class Offsets:
    def __init__(self, spans: Sequence[tuple[int, int | None]]) -> None: ...

class RowFilter:
    def __init__(
        self,
        since: int | None,
        until: int | None,
        patients: Sequence[bytes] | None,
        types: Sequence[bytes] | None,
    ) -> None: ...

class Scan:
    state: State
    def __init__(
        self,
        state: State,
        patient_id: int,
        event_time: int,
        event_type: int,
        value: int,
        fields: int,
        delimiter: bytes,
        null_tokens: Sequence[bytes],
        offsets: Offsets | None = None,
        asked: RowFilter | None = None,
        covered: bool = False,
    ) -> None: ...
    def feed(self, data: bytes, start: int, line: int) -> list[tuple[int, bytes]]: ...
    @property
    def lines(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def filtered(self) -> int: ...
    @property
    def first_us(self) -> int | None: ...
    @property
    def last_us(self) -> int | None: ...
    def covered(self) -> tuple[int, dict[int, int]] | None: ...
    def missing(self) -> dict[str, int]: ...

class ColumnScan(Scan):
    def insert(
        self,
        line: int,
        lines: Sequence[int],
        patients: Sequence[str],
        times: Sequence[int],
        types: Sequence[str],
        values: Sequence[int],
    ) -> None: ...
    def columns(self) -> tuple[bytes, bytes, bytes, bytes]: ...
