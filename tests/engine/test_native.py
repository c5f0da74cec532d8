"""What the compiled parts have from the reference is the same number in both."""

import ast
import re
from pathlib import Path

import pytest

import mockexport
from mockexport.formats import batch, coverage, fields
from mockexport.model import VALUE_SCALE
from mockexport.reducers import calendar, histogram, protocol

NATIVE = Path(mockexport.__file__).parent / "native"
LAW = {
    "columns.h": {"NO_VALUE": batch.NO_VALUE},
    "coverage.h": {"MAX_BUCKETS": coverage.MAX_BUCKETS, "HOUR_US": coverage.HOUR_US},
    "families.h": {
        "MAX_EXACT_VALUES": histogram.MAX_EXACT_VALUES,
        "KEPT_BITS": histogram.KEPT_BITS,
        "MAX_UNITS": calendar.MAX_UNITS,
        "FAMILY_HOUR_US": calendar.Hours.unit_us,
    },
    "load.h": {"MAX_COUNT": protocol.MAX_COUNT, "MAX_SIZE": protocol.MAX_SIZE},
    "fields.h": {"MAX_SCALED": fields.MAX_VALUE * VALUE_SCALE},
    "state.h": {"MAX_ID_BYTES": fields.MAX_ID_BYTES},
}


def number(text: str) -> int:
    """What a constant of C comes to."""
    text = re.sub(r"(?<=\d)(ULL|LL|U)\b", "", text.strip("()")).replace("INT64_MIN", str(-(2**63)))
    if "<<" in text:
        value, bits = map(int, text.split("<<"))
        return value << bits
    return int(ast.literal_eval(text))


@pytest.mark.parametrize("header", LAW)
def test_a_constant_is_the_references(header: str) -> None:
    defined = dict(re.findall(r"^#define (\w+) ([^/\n]+?)(?: /\*.*)?$", (NATIVE / header).read_text(), re.MULTILINE))
    assert {name: number(defined[name]) for name in LAW[header]} == LAW[header]
