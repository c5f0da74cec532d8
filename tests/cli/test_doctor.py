"""`mockexport doctor` tells which engine is in use and why."""

import subprocess
import sys

import mockexport
from mockexport.engine.choosing import KERNEL_REMEDY, kernel_problem


def test_doctor_tells_what_is_in_use() -> None:
    command = [sys.executable, "-m", "mockexport", "doctor"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    facts = dict(line.split(maxsplit=1) for line in told.stdout.splitlines())
    assert facts["mockexport"] == mockexport.__version__
    assert facts["engine"].startswith("kernel: it is built" if kernel_problem() is None else "python: there is no")
    assert set(facts) >= {"generator", "python", "cores", "memory", "packages", "extras"}
    assert "aiohttp 3." in facts["packages"]
    assert not told.stderr


def test_without_the_kernel_doctor_and_analyze_say_how_to_get_it() -> None:
    program = """
import sys
sys.modules["mockexport._kernel"] = None  # as if it had not been built
from mockexport.cli import main
sys.exit(main(sys.argv[1:]))
"""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)

    assert KERNEL_REMEDY in run("doctor").stdout
    analyzed = run("analyze", "demo")
    assert analyzed.returncode == 0
    assert [KERNEL_REMEDY in line for line in analyzed.stderr.splitlines()].count(True) == 1
    assert analyzed.stdout == run("analyze", "demo", "--engine", "python").stdout
    refused = run("analyze", "demo", "--engine", "kernel")
    assert refused.returncode == 2
    assert "the kernel cannot be used: it was not built" in refused.stderr
