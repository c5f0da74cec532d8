"""What is worth knowing of rows that were read: counted beside them, and told with the report.

A kind has a stable name, under which it appears in accounts and notes. Each has one meaning, so the row counts; but
who made the table may not have meant it.
"""

from enum import StrEnum

__all__ = ["Noted"]


class Noted(StrEnum):
    """Something noted of rows, by its stable name."""

    HEADER_LINES = "header lines"  # lines that name the columns again: no rows
    DATES_ONLY = "dates only"  # times without an hour, taken for the day's beginning
    ROUNDED = "rounded values"  # values with more places than are held
    CENSORED = "censored values"  # such as <0.6, left out
    CENSORED_BOUND = "censored values taken as their bound"
    TEXT = "text values"  # texts where a number should be, left out
