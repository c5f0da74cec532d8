"""What others think of the package: the judges from outside, each run as its users run it.

    uv run --group dev --group judges python -m tests.judges              all of them
    uv run --group dev --group judges python -m tests.judges types wheel  these

    types      mypy --strict on package and tests; pyright on the installed wheel: every public type known, the examples
               without a fault, and natural mistakes (tests/typing/mistakes.py) all found
    project    validate-pyproject, and sp-repo-review, whose ignored checks have a reason each in pyproject.toml
    wheel      source distribution and wheel are built; check-wheel-contents, twine check --strict
    versions   the wheel that one Python has built runs its kernel on the others, and makes the same report

`versions` takes the Pythons that uv finds; one that is missing is told, and fails unless --found is given.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILDS = "3.11"
RUNS = ("3.12", "3.13")


class Objection(Exception):  # noqa: N818 - what a judge has
    """A judge is not content; its words are the message."""


def run(*command: str | Path, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> str:
    """Run a command and return what it prints."""
    ran = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    if ran.returncode:
        raise Objection(f"{' '.join(map(str, command))}\n{ran.stdout}")
    return ran.stdout


def tool(name: str) -> Path:
    """Return the command of this environment that is called `name`."""
    return Path(sys.executable).with_name(name)


class Court:
    """Builds what the judges look at, once, in `folder`."""

    def __init__(self, folder: Path, only_found: bool) -> None:
        self.folder, self.only_found = folder, only_found
        self._wheel: Path | None = None

    @property
    def wheel(self) -> Path:
        """The wheel, made of the source distribution by the Python that builds."""
        if self._wheel is None:
            made = self.folder / "dist"
            required = os.environ | {"MOCKEXPORT_BUILD_EXT": "require"}
            run("uv", "build", "--quiet", "--python", self._python(BUILDS), "--out-dir", made, environment=required)
            (self._wheel,) = made.glob("*.whl")
        return self._wheel

    def _python(self, version: str) -> str:
        """Return the interpreter of a version, where uv or pyenv has one."""
        kept = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
        return str(kept[-1]) if kept else run("uv", "python", "find", "--no-project", version).strip()

    def installed(self, version: str, *extras: str) -> Path:
        """Install the wheel for a Python version; return the environment's folder of commands."""
        environment = self.folder / f"python{version}"
        run("uv", "venv", "--quiet", "--clear", "--python", self._python(version), environment)
        wanted = f"{self.wheel}[{','.join(extras)}]" if extras else str(self.wheel)
        run("uv", "pip", "install", "--quiet", "--python", environment / "bin" / "python", wanted)
        return environment / "bin"

    def types(self) -> str:
        run(tool("mypy"), "--strict")
        commands = self.installed(BUILDS, "gzip", "ingest")
        # It finds the package by the first Python on the path, and must not see the source.
        environment = os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}
        try:
            run(
                tool("pyright"), "--verifytypes", "mockexport", "--ignoreexternal",
                cwd=self.folder, environment=environment,
            )  # fmt: skip
        except Objection as objection:
            # Before that it lists all modules.
            raise Objection(str(objection).partition("Symbols used in public interface:")[2]) from None
        found = self._found_by_pyright(commands)
        return f"mypy --strict is content; pyright: all public types are known, and {found} mistakes are found"

    def _found_by_pyright(self, commands: Path) -> int:
        """Let pyright read the examples, strictly, and the mistakes, as a user's files; return how many it found."""
        users = self.folder / "users"
        shutil.copytree(ROOT / "examples", users / "examples", ignore=shutil.ignore_patterns("outputs"))
        mistakes = shutil.copy(ROOT / "tests" / "typing" / "mistakes.py", users)
        # What polars' own types leave open is not ours.
        rules = {"typeCheckingMode": "strict", "reportUnknownMemberType": False, "reportUnusedExpression": False}
        (users / "pyrightconfig.json").write_text(json.dumps(rules))
        command: list[str | Path] = [
            tool("pyright"),
            "--project",
            users,
            "--pythonpath",
            commands / "python",
            "--outputjson",
        ]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        said = [entry for entry in json.loads(ran.stdout)["generalDiagnostics"] if entry["severity"] == "error"]
        elsewhere = [entry for entry in said if Path(entry["file"]).name != "mistakes.py"]
        lines = {entry["range"]["start"]["line"] for entry in said} if not elsewhere else set()
        expected = {at for at, line in enumerate(Path(mistakes).read_text().splitlines()) if "# error: " in line}
        if elsewhere or lines != expected:
            raise Objection(f"other lines than those of the mistakes: {elsewhere or sorted(lines ^ expected)}")
        return len(expected)

    def project(self) -> str:
        run(tool("validate-pyproject"), "pyproject.toml")
        run(tool("repo-review"), ".")
        return "validate-pyproject and sp-repo-review are content"

    def distributions(self) -> str:
        run(tool("check-wheel-contents"), self.wheel)
        run(tool("twine"), "check", "--strict", self.wheel, *self.wheel.parent.glob("*.tar.gz"))
        return f"check-wheel-contents and twine are content with {self.wheel.name}"

    def versions(self) -> str:
        expected = (ROOT / "examples" / "outputs" / "demo.json").read_bytes()
        ran, missing = [], []
        for version in RUNS:
            try:
                self._python(version)
            except Objection:
                missing.append(version)
                continue
            commands = self.installed(version)
            told = run(commands / "mockexport", "doctor", cwd=self.folder)
            if "kernel: it is built and can be loaded" not in told:
                raise Objection(f"Python {version}: no kernel\n{told}")
            report = self.folder / f"demo-{version}.json"
            run(commands / "mockexport", "demo", "--engine", "kernel", "-o", report, cwd=self.folder)
            if report.read_bytes() != expected:
                raise Objection(f"Python {version}: another report of demo")
            ran.append(version)
        if missing and not self.only_found:
            raise Objection(f"no Python {', '.join(missing)} here")
        return f"{self.wheel.name}, built by Python {BUILDS}, runs its kernel on {', '.join(ran) or 'none'}"


JUDGES: dict[str, Callable[[Court], str]] = {
    "types": Court.types,
    "project": Court.project,
    "wheel": Court.distributions,
    "versions": Court.versions,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the judges from outside.")
    parser.add_argument("judges", nargs="*", metavar="JUDGE", help=f"of {', '.join(JUDGES)}; all by default")
    parser.add_argument("--found", action="store_true", help="only the Python versions that are here")
    options = parser.parse_args()
    if unknown := set(options.judges) - set(JUDGES):
        parser.error(f"no judges: {', '.join(sorted(unknown))}")
    objections = 0
    with tempfile.TemporaryDirectory() as folder:
        court = Court(Path(folder), options.found)
        for name in options.judges or JUDGES:
            try:
                print(f"{name}: {JUDGES[name](court)}", flush=True)
            except Objection as objection:
                objections += 1
                print(f"{name}: NOT CONTENT\n{objection}", flush=True)
    return 1 if objections else 0


if __name__ == "__main__":
    raise SystemExit(main())
