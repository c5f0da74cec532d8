"""The rows of a download as FHIR Observations: NDJSON, a line to a row, in the order and with the values of the CSV.

Rules: pure; the same rows give the same bytes. Pressures are components of a panel, as they are in hospitals, and all
other types have their value on the Observation itself. Where `Forms` ask for it, the same values come in other forms,
and with lines between them that do not count: the right report is the same.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

__all__ = ["KINDS", "Forms", "lines_of"]

# By event type: LOINC code, UCUM unit, and whether it is a component of a blood pressure panel.
KINDS = {
    "heart_rate": ("8867-4", "/min", False),
    "spo2": ("59408-5", "%", False),
    "bp_sys": ("8480-6", "mm[Hg]", True),
    "bp_dia": ("8462-4", "mm[Hg]", True),
}
# Ways to write the same unit, taken in turn: UCUM with and without a text or annotation, and texts that are accepted.
_UNITS = {
    "/min": (("/min", "beats/minute"), ("{beats}/min", ""), ("", "bpm"), ("", "beats/min"), ("/min", "")),
    "%": (("%", "percent"), ("", "%"), ("%{saturation}", "")),
    "mm[Hg]": (("mm[Hg]", "mmHg"), ("mmHg", ""), ("", "mmHg")),
}

_SYSTEM = '"system":"http://unitsofmeasure.org",'
_CATEGORY = (
    '"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category",'
    '"code":"vital-signs","display":"Vital Signs"}]}]'
)


@dataclass(frozen=True, slots=True)
class Forms:
    """In which forms Observations come, beside the plain one.

    `duplicates`: some come again, and some came before in an earlier version with another value. `orders`: codings and
    members in turn in one order and another. `units`: in every form there is. `days`: between them, some that have a
    day for a time, and do not count as they are cancelled.
    """

    duplicates: bool = False
    orders: bool = False
    units: bool = False
    days: bool = False

    def lines(self, rows: int) -> int:
        """Return how many lines `rows` rows come in."""
        return rows + self.duplicates * (-(-rows // 5) - (-rows // 7)) + self.days * -(-rows // 11)


def lines_of(pieces: Iterable[bytes], download_id: str, forms: Forms | None = None) -> Iterator[bytes]:
    """Yield the rows of a CSV (its header first, columns as in the export API) as NDJSON, piece by piece."""
    forms = forms or Forms()
    rest, number, header = b"", 0, True
    for piece in pieces:
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if not newline:
            continue
        rows = whole.decode().split("\n")
        if header:
            rows, header = rows[1:], False
        made = []
        for row in rows:
            patient, time, event_type, value = row.split(",")
            line = _line(forms, number, f"{download_id}-{number}", patient, time, event_type, value)
            if forms.duplicates and number % 5 == 0:
                made.append(line.replace('"versionId":"2"', '"versionId":"1"').replace(f'"value":{value}', '"value":1'))
            made.append(line)
            if forms.duplicates and number % 7 == 0:
                made.append(line)
            if forms.days and number % 11 == 0:
                made.append(_cancelled(line, f"{download_id}-{number}-day", time))
            number += 1
        yield "".join(made).encode()


def _line(forms: Forms, number: int, resource_id: str, patient: str, time: str, event_type: str, value: str) -> str:
    variant = number if forms.units else 0
    head, before_value, end = _template(event_type, variant % _variants(event_type), forms.orders and number % 2 == 1)
    return (
        f'{{"resourceType":"Observation","id":"{resource_id}",{head}{patient}"}},'
        f'"effectiveDateTime":"{time}"{before_value}{value}{end}'
    )


def _variants(event_type: str) -> int:
    return len(_UNITS[KINDS[event_type][1]])


@cache
def _template(event_type: str, variant: int, turned: bool) -> tuple[str, str, str]:
    """Return what stands between id, patient, time and value, and after it."""
    code, unit, in_panel = KINDS[event_type]
    ucum, text = _UNITS[unit][variant]
    quantity = '"valueQuantity":{'
    if text:
        quantity += f'"unit":{json.dumps(text)},'
    if ucum:
        quantity += f'{_SYSTEM}"code":{json.dumps(ucum)},'
    coded = _concept(code, turned)
    own = _concept("85354-9", turned) if in_panel else coded
    head = f'"meta":{{"versionId":"2"}},"status":"final",{_CATEGORY},{own},"subject":{{"reference":"Patient/'
    value = f'{coded},{quantity}"value":'
    if not in_panel:
        return head, f',{quantity}"value":', "}}\n"
    if turned:  # a member without a value that is mapped to nothing comes first
        absent = '"dataAbsentReason":{"coding":[{"code":"unknown"}]}'
        return head, f',"component":[{{{_concept("8478-0", turned)},{absent}}},{{{value}', "}}]}\n"
    return head, f',"component":[{{{value}', "}}]}\n"


def _concept(code: str, turned: bool) -> str:
    codings = [f'{{"system":"http://loinc.org","code":"{code}"}}']
    if turned:
        codings.insert(0, '{"system":"urn:oid:1.2.3","code":"LOCAL"}')
    return f'"code":{{"coding":[{",".join(codings)}]}}'


def _cancelled(line: str, resource_id: str, time: str) -> str:
    """Return an Observation as it would be of that day, and cancelled."""
    found = json.loads(line)
    found |= {"id": resource_id, "status": "cancelled", "effectiveDateTime": time[:10]}
    return json.dumps(found) + "\n"
