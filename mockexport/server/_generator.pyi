from collections.abc import Sequence

class Generator:
    def __init__(
        self,
        state: Sequence[int],
        patients: Sequence[bytes],
        laws: Sequence[tuple[bytes, int, int, int, int]],
        rows: int,
        start_us: int,
        step_us: int,
        piece_bytes: int,
    ) -> None: ...
    def piece(self) -> bytes: ...
    def skip(self, size: int, rows_at_most: int) -> int: ...
