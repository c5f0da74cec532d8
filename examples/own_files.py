"""Analyse files that are already here: any folder of CSV files, or one that `generate` or `download` left."""

import asyncio
import tempfile
from pathlib import Path

import mockexport

ROWS = """\
patient_id,event_time,event_type,value
P001,2025-08-26T00:00:04Z,heart_rate,72
P001,2025-08-26T00:01:04Z,heart_rate,74.5
P002,2025-08-26T00:00:30+02:00,spo2,97
P002,2025-02-30T00:00:00Z,spo2,97
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ward.csv").write_text(ROWS)
        report = asyncio.run(mockexport.analyze(folder=folder))
    print(report.to_json(), end="")
    for download in report.account.downloads:
        print(f"{download.download_id}: {download.verdict}; bad rows: {dict(download.bad_rows)}")


if __name__ == "__main__":
    main()
