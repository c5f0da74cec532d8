"""What is worth knowing of rows that were read: counted beside them, and told with the report.

A kind has a stable name, under which it appears in accounts and notes. Each has one meaning, so the row counts; but
who made the table may not have meant it.
"""

from enum import StrEnum

from mockexport.shown import shown

__all__ = ["Noted", "noted_name", "unmapped", "unmapped_code"]


class Noted(StrEnum):
    """Something noted of rows, by its stable name."""

    HEADER_LINES = "header lines"  # lines that name the columns again: no rows
    DATES_ONLY = "dates only"  # times without an hour, taken for the day's beginning
    ROUNDED = "rounded values"  # values with more places than are held
    CENSORED = "censored values"  # such as <0.6, left out
    CENSORED_BOUND = "censored values taken as their bound"
    TEXT = "text values"  # texts where a number should be, left out
    UNITS_UNREAD = "units not looked at"  # a table with a column of units to which nothing gives that role
    # Of FHIR Observations, by what they are; none of these is a row, but for the accepted units.
    OTHER_RESOURCES = "resources of another type"
    HEADER_RESOURCES = "header resources"
    MODIFIED = "observations with a modifier that is not understood"
    MODIFIED_COMPONENT = "components with a modifier that is not understood"
    REGISTERED = "status registered"
    PRELIMINARY = "status preliminary"
    CANCELLED = "status cancelled"
    ENTERED_IN_ERROR = "status entered-in-error"
    STATUS_UNKNOWN = "status unknown"
    OTHER_STATUS = "status of another name"
    NO_PATIENT = "values of what is no patient"
    LONG_PERIODS = "values of periods beyond one hour"
    OTHER_VALUES = "values of another kind"
    ACCEPTED_UNITS = "units accepted by their text"
    NO_ID = "observations without an id"
    # Of missing values, why they are.
    ABSENT = "no value"
    ABSENT_OTHER = "no value: for another reason"
    ABSENT_UNKNOWN = "no value: unknown"
    ABSENT_ASKED = "no value: asked-unknown"
    ABSENT_TEMPORARILY = "no value: temp-unknown"
    ABSENT_NOT_ASKED = "no value: not-asked"
    ABSENT_DECLINED = "no value: asked-declined"
    ABSENT_MASKED = "no value: masked"
    ABSENT_NOT_APPLICABLE = "no value: not-applicable"
    ABSENT_UNSUPPORTED = "no value: unsupported"
    ABSENT_AS_TEXT = "no value: as-text"
    ABSENT_ERROR = "no value: error"
    ABSENT_NOT_A_NUMBER = "no value: not-a-number"
    ABSENT_NEGATIVE_INFINITY = "no value: negative-infinity"
    ABSENT_POSITIVE_INFINITY = "no value: positive-infinity"
    ABSENT_NOT_PERFORMED = "no value: not-performed"
    ABSENT_NOT_PERMITTED = "no value: not-permitted"


# Codes are data, and not known beforehand: each has a name of its own, of a bounded length.
_UNMAPPED = "code not mapped: "
_MAX_CODE = 64


def unmapped(code: str) -> str:
    """Return how a value of a code that means no type is noted."""
    return _UNMAPPED + (shown(code)[:_MAX_CODE] or "none")


def unmapped_code(name: str) -> str | None:
    """Return the code that something noted is of; None if it is of none."""
    return name.removeprefix(_UNMAPPED) if name.startswith(_UNMAPPED) else None


def noted_name(text: str) -> str:
    """Return the name of something noted.

    Raises:
        ValueError: it is none.
    """
    if text.startswith(_UNMAPPED) and len(text) <= len(_UNMAPPED) + _MAX_CODE:
        return text
    return Noted(text).value
