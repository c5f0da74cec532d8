"""The rows of a download as FHIR Observations: NDJSON, a line to a row, in the order and with the values of the CSV.

Rules: pure; the same rows give the same bytes. Pressures are components of a panel, as they are in hospitals, and all
other types have their value on the Observation itself.
"""

from collections.abc import Iterable, Iterator

__all__ = ["KINDS", "lines_of"]

# By event type: LOINC code, UCUM unit, and whether it is a component of a blood pressure panel.
KINDS = {
    "heart_rate": ("8867-4", "/min", False),
    "spo2": ("59408-5", "%", False),
    "bp_sys": ("8480-6", "mm[Hg]", True),
    "bp_dia": ("8462-4", "mm[Hg]", True),
}

_LOINC = '{"system":"http://loinc.org","code":"%s"}'
_CATEGORY = (
    '"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category",'
    '"code":"vital-signs","display":"Vital Signs"}]}]'
)


def _template(code: str, unit: str, in_panel: bool) -> tuple[str, str, str]:
    """Return what stands between id, patient, time and value, and after it."""
    coded = f'"code":{{"coding":[{_LOINC % code}]}}'
    quantity = f'"valueQuantity":{{"unit":"{unit}","system":"http://unitsofmeasure.org","code":"{unit}","value":'
    own = f'"code":{{"coding":[{_LOINC % "85354-9"}]}}' if in_panel else coded
    head = f'"meta":{{"versionId":"1"}},"status":"final",{_CATEGORY},{own},"subject":{{"reference":"Patient/'
    if in_panel:
        return head, f',"component":[{{{coded},{quantity}', "}}]}\n"
    return head, f",{quantity}", "}}\n"


_TEMPLATES = {event_type: _template(*kind) for event_type, kind in KINDS.items()}


def lines_of(pieces: Iterable[bytes], download_id: str) -> Iterator[bytes]:
    """Yield the rows of a CSV (its header first, columns as in the export API) as NDJSON, piece by piece."""
    rest, row, header = b"", 0, True
    for piece in pieces:
        whole, newline, rest = (rest + piece).rpartition(b"\n")
        if not newline:
            continue
        lines = whole.decode().split("\n")
        if header:
            lines, header = lines[1:], False
        made = []
        for line in lines:
            patient, time, event_type, value = line.split(",")
            head, before_value, end = _TEMPLATES[event_type]
            made.append(
                f'{{"resourceType":"Observation","id":"{download_id[:8]}-{row}",{head}{patient}"}},'
                f'"effectiveDateTime":"{time}"{before_value}{value}{end}'
            )
            row += 1
        yield "".join(made).encode()
