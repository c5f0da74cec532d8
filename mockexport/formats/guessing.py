"""What the texts of a column may be: its role by its name, times by their formats, numbers by their signs.

Rules: pure, and guesses: the caller tries them on the rows at hand before anything is said of them.
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from unicodedata import normalize

from mockexport.formats.fields import BadField, parse_value
from mockexport.formats.times import time_reader
from mockexport.formats.values import plain_number

__all__ = [
    "MISSING_WORDS",
    "is_clock",
    "is_day",
    "is_id",
    "number_signs",
    "role_names",
    "share_of_numbers",
    "share_of_times",
    "time_formats",
]

# Texts that stand for no value, in programs that write tables.
MISSING_WORDS = (
    "NA",
    "N/A",
    "n/a",
    "NULL",
    "null",
    "None",
    "none",
    "NaN",
    "nan",
    ".",
    "-",
    "--",
    "?",
    "\\N",
    "missing",
)

# What columns are called, the likeliest first; in lower case, without what is no letter or digit.
_NAMES = {
    "patient_id": (
        "patientid", "usubjid", "subjectid", "personid", "patient", "subject", "patientunitstayid", "hospitalizationid",
        "icustayid", "stayid", "participantid", "participant", "recordid", "mrn", "pid", "patientnum", "case", "userid",
        "user", "paciente", "paziente", "identifiant", "id",
    ),
    "event_time": (
        "eventtime", "charttime", "measurementdatetime", "recordeddttm", "timestamp", "datetime", "observationdate",
        "startdate", "vsdtc", "lbdtc", "collected", "collectiontime", "observationtime", "effectivedatetime", "zeit",
        "zeitpunkt", "horodatage", "fecha", "fechahora", "data", "dataora", "dateheure", "time", "date", "datum",
        "uhrzeit",
    ),
    "event_type": (
        "eventtype", "vitalcategory", "measurementconceptid", "vstestcd", "lbtestcd", "itemid", "conceptcd",
        "parameter", "analyte", "measurement", "vitalname", "code", "itemname", "item", "type", "test", "name",
        "signal", "variable", "parametre", "parametro", "analyse", "typ", "tipo",
    ),
    "value": (
        "valuenum", "valueasnumber", "value", "vitalvalue", "vsstresn", "lbstresn", "nvalnum", "result", "resultvalue",
        "wert", "messwert", "reading", "valeur", "valor", "valore", "resultat", "resultado", "ergebnis", "val", "val1",
    ),
    "unit": (
        "unit", "units", "uom", "valueuom", "unitsourcevalue", "vsstresu", "lbstresu", "unitscd", "einheit",
        "valueunit", "unite", "unidad", "unita",
    ),
}  # fmt: skip

_DATES = ("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d")
_SHORT_DATES = ("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%m-%d-%y")
_NAMED_DATES = (
    "%d-%b-%Y",
    "%d %b %Y",
    "%d%b%Y",
    "%d-%b-%y",
    "%d%b%y",
    "%b %d %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
)
_CLOCKS = ("", "%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p")
_COMPACT = ("%Y%m%d", "%Y%m%d%H%M", "%Y%m%d%H%M%S", "%Y%m%dT%H%M", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%S%z", "%Y%m%d%H%M%S%z")
_JOINTS = (" ", "T", ":", ", ")
_CLOCK = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?(?:[ \u00a0\u202f]?[AaPp]\.?[Mm]\.?)?", re.ASCII)
_COMPACT_SHAPES = ("0", "0A0", "0A0A", "0A0+0", "0A0-0", "0+0", "0-0")
# From 2001 to 2096, in seconds: numbers like these are hardly anything else.
_EPOCH_S = (978_307_200, 4_000_000_000)
_MOST_TRIED = 200

_Fits = Callable[[str], bool]


def role_names(names: Sequence[str], role: str) -> list[str]:
    """Return which of some columns may have a role by their names, the likeliest first."""
    plain = {name: re.sub(r"[^a-z0-9]", "", normalize("NFKD", name.lower())) for name in names}
    ranked = [(list(_NAMES[role]).index(plain[name]), name) for name in names if plain[name] in _NAMES[role]]
    return [name for _, name in sorted(ranked, key=lambda each: each[0])]


def is_id(name: str) -> bool:
    """Tell whether a column is called as those are that number things: its numbers are no values."""
    return re.search(r"(?:_|\b|[a-z])(?:ID|Id|id)$", name) is not None or bool(role_names([name], "patient_id"))


def _share(texts: Sequence[str], fits: _Fits) -> float:
    there = [text for text in texts if text and text not in MISSING_WORDS][:_MOST_TRIED]
    return sum(map(fits, there)) / len(there) if there else 0.0


def time_formats(texts: Sequence[str]) -> list[str]:
    """Return the formats that nearly all of some texts have as times, `iso` first."""
    return [name for name in _formats(texts) if _share(texts, _reads_times(name)) >= 0.9]


def _formats(texts: Sequence[str]) -> list[str]:
    there = [text for text in texts if text]
    if not there:
        return []
    compact: list[str] = []
    if _shape(there[0]) in _COMPACT_SHAPES:
        compact = [name for name in _COMPACT if all(map(_reads_times(name), there[:20]))]
    if compact:
        return compact
    if all(re.fullmatch(r"\d{9,16}(?:\.\d+)?", text) for text in there[:20]):
        first = float(there[0])
        scales = {"epoch": 1, "epoch-ms": 1e3, "epoch-us": 1e6}
        return [name for name, scale in scales.items() if _EPOCH_S[0] <= first / scale < _EPOCH_S[1]]
    # What fits none of three is not tried on all.
    alike = _by_shape().get(_shape(there[0]), [])
    return ["iso", *(name for name in alike if all(map(_reads_times(name), there[:3])))]


@cache
def _by_shape() -> dict[str, list[str]]:
    """Return the formats that dates and times of day make, by what is left without digits and letters."""
    found: dict[str, list[str]] = {}
    for day in (*_DATES, *_SHORT_DATES, *_NAMED_DATES):
        for clock in _CLOCKS:
            for name in [f"{day}{joint}{clock}" for joint in _JOINTS] if clock else [day]:
                text = re.sub("%([bBp])", "x", name)
                found.setdefault(_shape(re.sub("%.", "1", text)), []).append(name)
    return found


def _shape(text: str) -> str:
    """Return a text with each number as 0 and each word as A: texts of one format have the same."""
    text = re.sub(r"([AaPp])\.[ \u00a0\u202f]?[Mm]\.", r"\1M", text)
    return re.sub(r"\s+", " ", re.sub(r"[^\W\d_]+", "A", re.sub(r"\d+", "0", text)))


def _reads_times(name: str) -> _Fits:
    read = time_reader((name,), None, None)

    def fits(text: str) -> bool:
        try:
            read(text)
        except BadField:
            return False
        return True

    return fits


def share_of_times(texts: Sequence[str]) -> float:
    """Return which share of some texts are times, in the format that most of them have."""
    return max((_share(texts, _reads_times(name)) for name in _formats(texts)), default=0.0)


def is_clock(texts: Sequence[str]) -> bool:
    """Tell whether some texts are times of day, without a date."""
    return _share(texts, lambda text: _CLOCK.fullmatch(text) is not None) >= 0.9


def is_day(texts: Sequence[str]) -> bool:
    """Tell whether some texts are dates, without a time of day."""
    return ":" not in "".join(texts[:_MOST_TRIED]) and share_of_times(texts) >= 0.9


def number_signs(texts: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return how nearly all of some texts are written as numbers: decimal and thousands signs, the usual ones first."""
    choices: list[tuple[str, str | None]] = [
        (".", None), (",", None), (".", ","), (",", "."), (",", " "), (".", " "), (".", "'"),
    ]  # fmt: skip
    return [signs for signs in choices if _share(texts, _reads_numbers(*signs)) >= 0.9]


def share_of_numbers(texts: Sequence[str]) -> float:
    """Return which share of some texts are numbers, written as most of them are."""
    signs: list[tuple[str, str | None]] = [(".", None), (",", None), (".", ","), (",", ".")]
    return max(_share(texts, _reads_numbers(*each)) for each in signs)


def _reads_numbers(decimal: str, thousands: str | None) -> _Fits:
    plain = plain_number(decimal, thousands)

    def fits(text: str) -> bool:
        try:
            parse_value(plain(text))
        except BadField:
            return False
        return True

    return fits
