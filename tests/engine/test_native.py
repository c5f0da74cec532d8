"""What the compiled parts have from the reference is the same number in both."""

import ast
import math
import re
from pathlib import Path

import pytest

import mockexport
from mockexport.formats import batch, coverage, cutting, fields, times
from mockexport.model import VALUE_SCALE
from mockexport.reducers import calendar, histogram, protocol

NATIVE = Path(mockexport.__file__).parent / "native"
LAW = {
    "coverage.h": {"MAX_BUCKETS": coverage.MAX_BUCKETS, "HOUR_US": coverage.HOUR_US},
    "families.h": {
        "MAX_EXACT_VALUES": histogram.MAX_EXACT_VALUES,
        "KEPT_BITS": histogram.KEPT_BITS,
        "MAX_UNITS": calendar.MAX_UNITS,
        "FAMILY_HOUR_US": calendar.Hours.unit_us,
    },
    "ids.h": {"MAX_ID_BYTES": fields.MAX_ID_BYTES},
    "load.h": {
        "MAX_COUNT": protocol.MAX_COUNT,
        "MAX_SIZE": protocol.MAX_SIZE,
        "MAX_VALUE_SIZE": protocol.MAX_VALUE_SIZE,
    },
    "fields.h": {
        "MAX_VALUE_DIGITS": round(math.log10(fields.MAX_VALUE)),
        "VALUE_PLACES": round(math.log10(VALUE_SCALE)),
    },
    "rows.h": {"MAX_ROW_BYTES": cutting.MAX_ROW_BYTES},
    "times.h": {
        "MAX_TIME_BYTES": times.LONGEST,
        "FIRST_DAY": times.FIRST_US // (86_400 * 10**6),
        "END_DAY": times.END_US // (86_400 * 10**6),
    },
    "wide.h": {"UNIT": VALUE_SCALE // 10**9, "MAX_NARROW": 10**18, "WIDE_END": -batch.NO_VALUE},
}


def number(text: str) -> int:
    """What a constant of C comes to."""
    text = re.sub(r"(?<=\d)(ULL|LL|U)\b|\(wide\)", "", text).strip("()")
    if "<<" in text:
        value, bits = map(int, text.split("<<"))
        return value << bits
    return int(ast.literal_eval(text))


@pytest.mark.parametrize("header", LAW)
def test_a_constant_is_the_references(header: str) -> None:
    defined = dict(re.findall(r"^#define (\w+) ([^/\n]+?)(?: /\*.*)?$", (NATIVE / header).read_text(), re.MULTILINE))
    assert {name: number(defined[name]) for name in LAW[header]} == LAW[header]
