"""What may help, where only the command line can know it: what a person seems to have meant."""

import argparse
import os
import shlex
from collections.abc import Iterable

from mockexport.cli.arguments import COMMANDS
from mockexport.errors import BadRowError, ExportNotFound, MockExportError, OptionError, nearest
from mockexport.formats.fields import BadRowReason
from mockexport.formats.hints import INTO_UTF8
from mockexport.formats.noted import Noted
from mockexport.report.notes import BAD_ROWS, IDS_ALIKE, NOT_COMPARED, NULL_TOKENS, OVERLAPS, TYPES_ALIKE

__all__ = ["about_bad_rows", "about_error", "about_note"]

# For reasons that befall whole tables, and have a remedy or a rule that a sentence can tell.
_GOOD_ROWS = {
    BadRowReason.ENCODING: INTO_UTF8,
    BadRowReason.QUOTE: "what stands in quotes ends with one, and a quote in it is written twice",
    BadRowReason.TIME: "a time is like 2025-08-26 10:00:00.5+02:00 or 2025-08-26T10:00; a date alone is its midnight",
    BadRowReason.SKIPPED_TIME: "the clocks of that --timezone have no such hour; is it the right one?",
    BadRowReason.VALUE: "a value is a number like 37.5, with a point and no other sign; --null names texts for none",
}


def about_bad_rows(reasons: Iterable[str]) -> list[str]:
    """Return what a good row is like, for the reasons why rows are bad."""
    return [f"{reason}: {told}" for reason, told in _GOOD_ROWS.items() if reason in reasons]


# What a note may mean for the figures, and what to do then; what is not here is as it should be.
_DOUBTS = {
    BAD_ROWS: "",
    Noted.UNITS_UNREAD: "--columns unit=NAME keeps them apart, --constant unit= says that each type has one unit",
    NULL_TOKENS: "--null leaves it out, as in --null -999",
    OVERLAPS: "--distinct counts rows once that are the same",
    NOT_COMPARED: "--distinct counts rows once that are the same",
    IDS_ALIKE: "the JSON report names them",
    TYPES_ALIKE: "the JSON report names them",
}


def about_note(kind: str) -> str | None:
    """Return what to do about a note that casts doubt on the figures, if it does not say so; None if it casts none."""
    return _DOUBTS.get(kind)


def about_error(error: MockExportError, options: argparse.Namespace) -> str | None:
    """Return what may have been meant by an export that is not there; or what a row is like that is not bad."""
    if isinstance(error, OptionError) and error.option == "host" and "token_file" in error.problem:
        return "--token-file FILE names the tokens that requests must bring; --without-token lets anyone in"
    if isinstance(error, BadRowError):
        return next(iter(about_bad_rows([error.reason])), None)
    if not isinstance(error, ExportNotFound):
        return None
    asked = error.export_id
    if os.path.exists(asked):
        if getattr(options, "origin", None) is not None:
            return "to read several files, put a pattern in quotes: --from '*.csv'"
        return f"there is a file or folder of that name; to read it: --from {shlex.quote(asked)}"
    meant = nearest(asked, [*error.available, *COMMANDS])
    return None if meant is None else f"did you mean {meant}?"
