"""The running service against its own OpenAPI document, by Schemathesis, until so many requests have been made:

    python -m tests.ingest.conforming --requests 10000 [--seed 1]

Every answer must be as the document says, and none a server error. Compactions run all the time. Exit code 1 if one is
not; Schemathesis' own report, which is printed then, has a curl command for it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.ingest.running import RunningService

# Examples for each operation and round; a round has some requests more, for what the document's bounds call for.
_EXAMPLES = 400
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance"
)


def round_of_requests(service: RunningService, seed: int, report: Path) -> int | None:
    """Return how many requests were made, None if an answer was wrong."""
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{service.url}/openapi.json"]
    command += ["--checks", _CHECKS, "--continue-on-failure", "--no-color", "--seed", str(seed)]
    command += ["--max-examples", str(_EXAMPLES), "--report", "json", "--report-json-path", str(report)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        print(ended.stdout, ended.stderr)
        return None
    made: int = json.loads(report.read_text())["test_cases"]["generated"]
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Hold the heart-rate service to its OpenAPI document.")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began, requests, seed = time.monotonic(), 0, options.seed
    with tempfile.TemporaryDirectory() as folder:
        with RunningService(Path(folder), compact_rows=100, compact_age_s=1) as service:
            while requests < options.requests:
                made = round_of_requests(service, seed, Path(folder, "report.json"))
                if made is None:
                    return 1
                requests, seed = requests + made, seed + 1
                print(f"{requests} requests, {time.monotonic() - began:.0f} s", flush=True)
            service.stop()
        errors = [line for line in service.log_lines() if line["level"] in ("error", "critical")]
    for line in errors[:10]:
        print(line)
    print(f"{requests} requests, as the document says; {len(errors)} errors in the log")
    return 1 if errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
