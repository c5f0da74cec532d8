"""Exit codes, and which error ends with which."""

from collections.abc import Iterable

from mockexport.errors import (
    BadRowError,
    CheckpointError,
    ExportNotFound,
    FolderError,
    MetadataError,
    NotedError,
    OptionError,
    ServerUnreachable,
)
from mockexport.model import VerdictKind
from mockexport.report.account import Account

__all__ = [
    "BAD_ROW",
    "FAILED",
    "INTERRUPTED",
    "MISMATCH",
    "OTHER",
    "TERMINATED",
    "UNREACHABLE",
    "USAGE",
    "of_account",
    "of_accounts",
    "of_error",
]

OTHER = 1
USAGE = 2
FAILED = 3
MISMATCH = 4
UNREACHABLE = 5
BAD_ROW = 6
INTERRUPTED = 130  # as a shell reports SIGINT
TERMINATED = 143  # and SIGTERM


def of_account(account: Account) -> int:
    """Return the exit code of a run that came to its end."""
    if account.of_kind(VerdictKind.FAILED):
        return FAILED
    return MISMATCH if account.of_kind(VerdictKind.MISMATCH) else 0


def of_accounts(accounts: Iterable[Account]) -> int:
    """Return the exit code of several runs: the gravest."""
    codes = {of_account(account) for account in accounts}
    return next((code for code in (FAILED, MISMATCH) if code in codes), 0)


def of_error(error: Exception) -> int:
    """Return the exit code of a run that an error ended."""
    match error:
        case OptionError() | CheckpointError():
            return USAGE
        case ServerUnreachable() | ExportNotFound() | MetadataError() | FolderError():
            return UNREACHABLE
        case BadRowError() | NotedError():
            return BAD_ROW
        case _:
            return OTHER
