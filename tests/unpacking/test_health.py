"""The export of Apple's Health app is read as a stream: every record that is on its own, once, and no entity."""

import asyncio
from pathlib import Path

import pytest

from mockexport import Schema, analyze
from mockexport.unpacking.compression import BadCompression
from mockexport.unpacking.health import HealthExport

SCHEMA = Schema(
    event_time="startDate", event_type="type", constants=(("patient_id", "{stem}"),), unit="unit", text="missing"
)
START = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE HealthData [
<!ELEMENT HealthData (Record*)>
<!ATTLIST Record type CDATA #REQUIRED value CDATA #IMPLIED>
]>
"""
PULSE = """ <Record type="HeartRate" sourceName="a &quot;b&quot;, c" unit="count/min"
 startDate="2024-03-01 10:00:00 +0100" endDate="2024-03-01 10:00:00 +0100" value="%d"%s>
"""
SLEEP = '<Record type="Sleep" startDate="2024-03-01 10:00:00 +0100" value="Asleep"/>'
EXPORT = (
    f'{START}<HealthData locale="de_DE">\n <ExportDate value="2024-03-02 10:00:00 +0100"/>\n{PULSE % (60, "/")}'
    f'<Correlation type="x">{PULSE % (60, "/")}</Correlation>{PULSE % (71, "")}'
    '<MetadataEntry key="k" value="1"/></Record>'
    f"{SLEEP}</HealthData>\n"
)


def read(path: Path, data: str) -> str:
    path.write_text(data)
    report = asyncio.run(analyze(files=path, schema=SCHEMA, allow_incomplete=True))
    (download,) = report.account.downloads
    if download.verdict.counts:
        assert (download.rows, dict(download.missing_values)) == (3, {"Sleep": 1})
        statistics = report.patients["export"]["HeartRate [count/min]"]
        assert (statistics.count, statistics.min, statistics.max) == (2, 60, 71)
    return str(download.verdict)


def test_records_on_their_own_count_once(tmp_path: Path) -> None:
    assert "no row count was announced" in read(tmp_path / "export.xml", EXPORT)


def test_pieces_make_no_difference() -> None:
    whole, bytewise = HealthExport(), HealthExport()
    data = EXPORT.encode()
    parts = [made for at in range(len(data)) for made in bytewise.feed(data[at : at + 1])]
    assert b"".join(parts) == b"".join(whole.feed(data))
    whole.finish()
    bytewise.finish()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (EXPORT.replace("<!ELEMENT", '<!ENTITY a "b"><!ELEMENT', 1), "declares entities"),
        (EXPORT.replace("HealthData", "Other"), "no export of Apple's Health app"),
        (EXPORT[:-20], "cut off before its end"),
        (EXPORT.replace("</Correlation>", "</Correlatio>"), "damaged at line"),
    ],
)
def test_what_is_no_such_export_fails_and_says_why(tmp_path: Path, data: str, told: str) -> None:
    assert told in read(tmp_path / "export.xml", data)


def test_an_element_without_end_takes_no_more_memory_than_one_may() -> None:
    health = HealthExport()
    list(health.feed((START + '<HealthData a="').encode()))
    with pytest.raises(BadCompression, match="has no end"):
        list(health.feed(b"x" * 2**21))
