"""Analyse files that are already here: a folder of tables whose columns have names of their own, in local time."""

import asyncio
import tempfile
from pathlib import Path

import mockexport

ROWS = """\
subject_id;charttime;storetime;itemid;valuenum
P001;2025-08-26 00:00:04;;heart_rate;72
P001;2025-08-26 00:01:04;;heart_rate;74.5
P002;2025-08-26T00:00:30Z;;spo2;97
P002;2025-08-27 00:00:30;;spo2;NA
P002;2025-02-30 00:00:00;;spo2;97
"""
SCHEMA = mockexport.Schema(
    patient_id="subject_id",
    event_time="charttime",
    event_type="itemid",
    value="valuenum",
    delimiter=";",
    null_tokens=frozenset({"NA"}),
    timezone="Europe/Berlin",
)
ASKED = mockexport.Filter.of(since="2025-08-26", timezone="Europe/Berlin")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ward.csv").write_text(ROWS)
        report = asyncio.run(mockexport.analyze(folder=folder, schema=SCHEMA, filter=ASKED, max_bad=1))
    print(report.to_json(), end="")
    for download in report.account.downloads:
        print(
            f"{download.download_id}: {download.verdict}; bad rows: {dict(download.bad_rows)},"
            f" missing values: {dict(download.missing_values)}"
        )


if __name__ == "__main__":
    main()
