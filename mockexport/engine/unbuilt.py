"""Why a compiled part of the package cannot be had, and what to do about it: told by where the package lies."""

import sys
from contextlib import suppress
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

__all__ = ["unbuilt"]

_PACKAGE = Path(__file__).parent.parent


def unbuilt(part: str, error: ImportError) -> str:
    """Return in words why importing `mockexport.{part}` has failed with `error`, and what to do."""
    if not isinstance(error, ModuleNotFoundError):
        return f"it cannot be loaded ({error}); install mockexport once more, on this machine and for this Python"
    # "No module named …" is all that Python has to say.
    for folder in (*map(Path, sys.path), *_edited()):
        other = folder.absolute() / "mockexport"
        if other != _PACKAGE and any((other / (part.replace(".", "/") + end)).exists() for end in EXTENSION_SUFFIXES):
            return (
                f"the sources in {_PACKAGE} are found first and hide the installed package in {other}, which has it;"
                f" start Python in another folder, or install the sources: pip install -e {_PACKAGE.parent}"
            )
    if (_PACKAGE.parent / "setup.py").exists():
        return (
            f"it was not built in {_PACKAGE}; to get it, install a C compiler (GCC or Clang), and then"
            f" pip install -e {_PACKAGE.parent}"
        )
    return (
        "it was not built when mockexport was installed; to get it, install a C compiler (GCC or Clang), and then"
        " mockexport once more"
    )


def _edited() -> list[Path]:
    """Return the folder of sources from which the package is installed, if it is by `pip install -e`."""
    # No sooner: where all is built, nobody asks.
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.request import url2pathname

    with suppress(PackageNotFoundError):
        told = json.loads(distribution("mockexport").read_text("direct_url.json") or "{}")
        if told.get("dir_info", {}).get("editable"):
            return [Path(url2pathname(told["url"].removeprefix("file://")))]
    return []
