"""One GET and its reply, as the byte stream sees them: whatever brings them, sockets or a script.

`http.py` brings them over sockets. Tests, and users who rehearse a fault, bring them from a script.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, runtime_checkable

from mockexport.resuming.replies import Head

__all__ = ["Exchange", "ExchangeFailed", "Reply"]


class ExchangeFailed(Exception):  # noqa: N818 - what became of an exchange
    """No reply, or a body that broke off.

    `passing` if another try may help; `protocol` if it was no valid HTTP; `silent` if nothing came at all.
    """

    def __init__(self, problem: str, *, passing: bool, protocol: bool = False, silent: bool = False) -> None:
        self.problem = problem
        self.passing = passing
        self.protocol = protocol
        self.silent = silent
        super().__init__(problem)


class Reply(Protocol):
    """A reply whose head is in."""

    @property
    def head(self) -> Head:
        """Status and header fields."""

    async def read(self) -> bytes:
        """Return the body's next bytes, undecoded; none at its end.

        Raises:
            ExchangeFailed: the body broke off.
        """

    def abort(self, reason: str) -> None:
        """Make a pending read fail, and every later one."""

    async def close(self) -> None:
        """Let go of the connection; one that has not brought all of the body is closed."""


@runtime_checkable
class ReceivingReply(Reply, Protocol):
    """A Reply that can put the body's bytes where they are wanted."""

    async def receive(self, into: memoryview) -> bytes | memoryview:
        """Return the body's next bytes: some of their own, or a view of `into`, filled as far as there are any.

        Raises:
            ExchangeFailed: the body broke off.
        """

    def flush(self) -> int:
        """Have a pending `receive` return what has come so far; return how much that is."""


# Asks once, with these header fields more.
Exchange = Callable[[Mapping[str, str]], Awaitable[Reply]]
