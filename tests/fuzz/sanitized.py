"""A command: the fuzzers and the tests of the compiled parts, under the address and undefined-behaviour sanitizers.

    python -m tests.fuzz.sanitized [--rows 200000] [--states 5000] [--lines 20000] [--limit-s 1800]

The compiled parts are built once more, in a temporary folder (GCC on Linux; Cython and setuptools must be there). The
first finding ends a step. Exit code 1 if a step ends with one, with a difference, or with no time left.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FLAGS = "-fsanitize=address,undefined"
# The sanitizer keeps freed memory for a while, on purpose.
TESTS = [
    "tests/engine",
    "tests/formats/test_arrow.py",
    "tests/formats/test_resources.py",
    "tests/formats/fhir/test_plain.py",
    "tests/report/test_json.py",
]
TESTS += ["tests/reducers/test_latest.py", "tests/server/test_generation.py", "-k", "not memory_stays"]


def build(copy: Path) -> None:
    """Build the compiled parts in a copy of the project."""
    leave_out = shutil.ignore_patterns("__pycache__", "*.so", "*.c")
    for name in ("mockexport", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=leave_out)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    flags = {"CFLAGS": f"-O1 -g {FLAGS} -fno-sanitize-recover=all", "LDFLAGS": FLAGS, "MOCKEXPORT_BUILD_EXT": "require"}
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"]
    subprocess.run(command, cwd=copy, env={**os.environ, **flags}, check=True, stdout=subprocess.DEVNULL)


def library(name: str) -> str:
    """Return where the compiler has a library."""
    return subprocess.run(
        ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True
    ).stdout.strip()


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--states", type=int, default=5_000)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--limit-s", type=float, default=1_800.0)
    options = parser.parse_args(arguments)
    steps = {
        "rows": ["-m", "tests.fuzz.kernel", "--rows", str(options.rows)],
        "states": ["-m", "tests.fuzz.states", "--states", str(options.states)],
        "lines": ["-m", "tests.formats.fhir.test_plain", str(options.lines)],
        "tests": ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *TESTS],
    }
    until_s, findings = time.monotonic() + options.limit_s, 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        build(copy)
        environment = {
            **os.environ,
            "PYTHONPATH": str(copy),
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            # Leaks are the interpreter's own. With its own heap out of the way, a read beyond a chunk is seen.
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",
        }
        for name, words in steps.items():
            left_s = max(0.0, until_s - time.monotonic())
            try:
                code = subprocess.run([sys.executable, *words], cwd=copy, env=environment, timeout=left_s).returncode
            except subprocess.TimeoutExpired:
                code = None
            findings += code != 0
            end = "no time left" if code is None else f"exit code {code}"
            sys.stdout.write(f"{name}: {end}\n")
            sys.stdout.flush()
    sys.stdout.write(f"{findings} findings\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
