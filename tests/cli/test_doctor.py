"""`mockexport doctor` tells which engine is in use and why."""

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import mockexport
from mockexport.engine.choosing import kernel_problem

ROOT = Path(__file__).parent.parent.parent


def test_doctor_tells_what_is_in_use() -> None:
    command = [sys.executable, "-m", "mockexport", "doctor"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    facts = dict(line.split(maxsplit=1) for line in told.stdout.splitlines())
    assert facts["mockexport"] == mockexport.__version__
    assert facts["engine"].startswith("kernel: it is built" if kernel_problem() is None else "python: there is no")
    assert set(facts) >= {"generator", "python", "cores", "memory", "packages", "extras"}
    assert "aiohttp 3." in facts["packages"]
    assert not told.stderr


def run(*arguments: str, program: str = "", folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line behind some lines of Python, in a folder, whose packages are found first and alone."""
    alone = "import sys; sys.meta_path[:] = [finder for finder in sys.meta_path if 'Editable' not in str(finder)]"
    command = [
        sys.executable,
        "-c",
        f"{alone}\n{program}\nfrom mockexport.cli import main\nsys.exit(main(sys.argv[1:]))",
    ]
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, timeout=50, cwd=folder or ROOT
    )


def test_without_the_kernel_doctor_and_analyze_say_how_to_get_it() -> None:
    unbuilt = "import sys; sys.modules['mockexport._kernel'] = None"
    told = (
        f"it was not built in {ROOT / 'mockexport'}; to get it, install a C compiler (GCC or Clang), and then"
        f" pip install -e {ROOT}"
    )
    assert told in run("doctor", program=unbuilt).stdout
    analyzed = run("analyze", "demo", program=unbuilt)
    assert analyzed.returncode == 0
    assert [told in line for line in analyzed.stderr.splitlines()].count(True) == 1
    assert analyzed.stdout == run("analyze", "demo", "--engine", "python", program=unbuilt).stdout
    refused = run("analyze", "demo", "--engine", "kernel", program=unbuilt)
    assert refused.returncode == 2
    assert f"the kernel cannot be used: {told}" in refused.stderr


def test_sources_that_hide_the_compiled_package_are_told(tmp_path: Path) -> None:
    sources, installed = tmp_path / "sources" / "mockexport", tmp_path / "installed" / "mockexport"
    shutil.copytree(ROOT / "mockexport", sources, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    (installed / "server").mkdir(parents=True)
    for part in ("_kernel", "server/_generator"):
        (installed / f"{part}{EXTENSION_SUFFIXES[0]}").touch()
    told = run(
        "doctor", program=f"import sys; sys.path.append({str(installed.parent)!r})", folder=sources.parent
    ).stdout
    hidden = f"the sources in {sources} are found first and hide the installed package in {installed}, which has it"
    assert [line.split()[0] for line in told.splitlines() if hidden in line] == ["engine", "generator"]
    assert f"pip install -e {sources.parent}" in told


def test_sources_that_hide_a_package_installed_from_others_are_told(tmp_path: Path) -> None:
    sources = tmp_path / "mockexport"
    shutil.copytree(ROOT / "mockexport", sources, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    told = run("doctor", folder=tmp_path).stdout
    assert f"the sources in {sources} are found first and hide the installed package in {ROOT / 'mockexport'}" in told


def test_an_installed_package_without_a_kernel_does_not_speak_of_sources(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mockexport", tmp_path / "mockexport", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    information = tmp_path / "mockexport-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: mockexport\nVersion: 1\n")
    told = run("doctor", folder=tmp_path).stdout
    assert "python: there is no compiled kernel, as it was not built when mockexport was installed; to get it" in told


def test_here_the_kernel_runs() -> None:
    assert kernel_problem() is None or os.environ.get("MOCKEXPORT_BUILD_EXT") == "no"


def test_a_kernel_that_was_built_from_other_sources_is_said_to_be_and_does_not_work() -> None:
    """A name that these sources take of it is not there."""
    other = "import mockexport._kernel as kernel; del kernel.Plan"
    analyzed = run("analyze", "demo", program=other)
    assert "it cannot be loaded (cannot import name 'Plan'" in analyzed.stderr
    assert "install mockexport once more" in analyzed.stderr
    assert analyzed.stdout == run("analyze", "demo").stdout
