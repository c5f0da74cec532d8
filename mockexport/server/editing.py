"""Bodies with one row not as it was: missing, bad, twice, or out of order with the next ones. Everything else stays."""

from collections.abc import AsyncIterator

__all__ = ["edited"]

# A piece with more lines than these has whole rows to change.
EDIT_LINES = 3


async def edited(pieces: AsyncIterator[bytes], kind: str, at: int) -> AsyncIterator[bytes]:
    """Yield the pieces of a body with the row changed that holds its byte `at`, or else the nearest whole row."""
    held, offset, done = b"", 0, False  # `held` begins at byte `offset`
    async for piece in pieces:
        if done:
            yield piece
        elif not held or piece.count(b"\n") <= EDIT_LINES:
            held += piece  # what has too few lines of its own goes with those before
        elif offset + len(held) <= at:
            yield held
            held, offset = piece, offset + len(held)
        else:
            yield _changed(held, kind, at - offset)
            yield piece
            held, done = b"", True
    if held:
        yield _changed(held, kind, at - offset)


def _changed(piece: bytes, kind: str, at: int) -> bytes:
    """Return a piece with one of its rows changed; its first line, maybe the header or half a row, stays."""
    header, *rows, rest = piece.split(b"\n")
    place = min(max(piece.count(b"\n", 0, max(at, 0)) - 1, 0), max(len(rows) - 1, 0))
    if not rows:
        return piece
    match kind:
        case "few-rows":
            del rows[place]
        case "bad-row":
            rows[place] = rows[place].rpartition(b",")[0] + b",oops"
        case "duplicate-row":
            rows.insert(place, rows[place])
        case _:
            place = min(place, max(len(rows) - EDIT_LINES, 0))
            rows[place : place + EDIT_LINES] = reversed(rows[place : place + EDIT_LINES])
    return b"\n".join([header, *rows, rest])
