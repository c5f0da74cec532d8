"""The order of the house: a room imports rooms above it only, and third parties stay behind their fences."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mockexport

PACKAGE = Path(mockexport.__file__).parent

# In import order. A folder is one room.
ROOMS = [
    "shown",
    "errors",
    "model",
    "newfile",
    "events",
    "access",
    "keys",
    "_arrow",
    "formats",
    "reducers",
    "_kernel",
    "engine",
    "report",
    "pipeline",
    "unpacking",
    "resuming",
    "sources",
    "saving",
    "analysis",
    "live",
    "distributed",
    "server",
    "testing",
    "ingest",
    "cli",
    "__main__",
]

# Third parties and the rooms that may import them.
FENCES = {
    "aiohttp": {"sources", "server", "ingest"},  # the service itself has none; the devices that play against it have
    "yarl": {"sources"},
    "aiofiles": {"sources", "saving"},
    "fastapi": {"ingest"},
    "polars": {"ingest"},
    "pydantic": {"ingest"},
    "uvicorn": {"ingest"},
    "argparse": {"cli"},
    "pyarrow": {"saving"},
    "distributed": {"distributed"},
    "dask": {"distributed"},
    "cryptography": {"keys", "sources"},
    "pytest": {"testing"},
    "rich": set(),
    "numpy": set(),
    "pandas": set(),
}

FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[str]:
    """All modules that a file imports at run time, wherever it does."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path.name}: imports are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_above_it(path: Path) -> None:
    place = ROOMS.index(room_of(path))
    for module in imports_of(path):
        parts = module.split(".")
        if parts[0] == "mockexport" and parts[1] != "__version__":
            assert ROOMS.index(parts[1]) <= place, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_third_parties_stay_behind_their_fences(path: Path) -> None:
    for module in imports_of(path):
        allowed = FENCES.get(module.split(".")[0])
        assert allowed is None or room_of(path) in allowed, f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_asyncio_begins_at_the_pipeline(path: Path) -> None:
    if ROOMS.index(room_of(path)) < ROOMS.index("pipeline"):
        assert not [module for module in imports_of(path) if module.split(".")[0] == "asyncio"]


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) != "cli"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_prints(path: Path) -> None:
    if path.parts[-2:] == ("server", "lengths.py"):
        return  # a command of its own, for developers
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_opens_with_its_charter(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("room", sorted(PACKAGE.rglob("*/__init__.py")), ids=lambda path: path.parent.name)
def test_a_rooms_map_names_the_modules_in_it_and_no_others(room: Path) -> None:
    text = ast.get_docstring(ast.parse(room.read_text())) or ""
    modules = {path.stem for path in room.parent.glob("*.py*") if path.suffix in (".py", ".pyx")} - {"__init__"}
    assert not [name for name in sorted(modules) if not re.search(rf"\b{name}\b", text)]
    named = re.findall(r"(?<![\w/])([a-z_]+)\.pyx?\b", text)
    assert not [name for name in named if name not in modules]


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, mockexport; print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"aiohttp", "asyncio", "msgspec", "rich", "json", "argparse"}


def test_every_public_name_can_be_had() -> None:
    for name in mockexport.__all__:
        assert getattr(mockexport, name).__doc__, name
