"""`mockexport doctor`: what this installation has, what it uses, and why."""

import argparse
import importlib.util
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from mockexport import __version__
from mockexport.cli.text import put
from mockexport.engine.choosing import kernel_problem
from mockexport.report.plain import size
from mockexport.server.generation import generator_problem

__all__ = ["doctor"]

# What is looked for: the package's name, and what it is here for.
_NEEDED = ("aiofiles", "aiohttp", "msgspec")
_EXTRAS = ("isal", "zlib-ng", "fastapi", "polars", "pydantic", "uvicorn", "dask", "cryptography", "pyarrow")


async def doctor(options: argparse.Namespace) -> int:
    """Run the command: tell, one fact a line, on stdout."""
    facts = [
        ("mockexport", __version__),
        ("engine", _engine()),
        ("generator", _generator()),
        ("python", f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"),
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("cores", _cores()),
        ("memory", _memory()),
        ("packages", ", ".join(f"{name} {_version(name) or 'MISSING'}" for name in _NEEDED)),
        ("extras", ", ".join(f"{name} {found}" for name in _EXTRAS if (found := _version(name))) or "none"),
    ]
    width = max(len(name) for name, _ in facts)
    put("".join(f"{name.ljust(width)}  {fact}\n" for name, fact in facts))
    return 0


def _engine() -> str:
    """Return which engine reads the rows by default, and why."""
    problem = kernel_problem()
    if problem is not None:
        return f"python: there is no compiled kernel, as {problem}"
    from mockexport.engine.kernel import instructions

    return f"kernel: it is built and can be loaded; instructions: {instructions()}"


def _generator() -> str:
    problem = generator_problem()
    return "compiled" if problem is None else f"python: {problem}"


def _cores() -> str:
    usable = getattr(os, "sched_getaffinity", None)
    return f"{len(usable(0)) if usable else os.cpu_count()} usable of {os.cpu_count()}"


def _memory() -> str:
    try:
        page, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not on every system
        return "unknown"
    return size(page * pages)


def _version(name: str) -> str | None:
    if importlib.util.find_spec(name.replace("-", "_")) is None:
        return None
    try:
        return version(name)
    except PackageNotFoundError:
        return "of unknown version"
