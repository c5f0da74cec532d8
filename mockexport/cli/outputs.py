"""The files that a command is to write, looked at before the run, so that no morning's report is lost at its end.

Each can be made, no two of them are one, and none is a file that the command reads.
"""

import argparse
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mockexport.errors import OptionError, OutputError
from mockexport.sources.files import SUFFIXES
from mockexport.sources.listing import LISTING

__all__ = ["checked_outputs", "refuse_other_than_names"]

# Options that name a file to write once the run is over, and such as are written all along.
_AT_THE_END = ("output", "html", "account")
_ALL_ALONG = ("events", "checkpoint")
# Options that name a file to read.
_READ = ("origin", "urls", "rules", "token_file", "cacert", "cert", "key", "dask_ca", "dask_cert", "dask_key")


def checked_outputs(options: argparse.Namespace) -> dict[str, Path]:
    """Return the files to write, by the options that name them; `-`, stdout, is none.

    Raises:
        OptionError: one is no file, is another's too, or is read by the same command.
        OutputError: it cannot be made.
    """
    named = {name: getattr(options, name, None) for name in (*_AT_THE_END, *_ALL_ALONG)}
    paths = {name: Path(text) for name, text in named.items() if text is not None and (name, text) != ("output", "-")}
    for name in _AT_THE_END:
        if name in paths:
            _see(name, str(named[name]), paths[name])
    read = {found.resolve() for found in _read(options)}
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path.exists() and not path.is_file():
            continue  # a device or a pipe can be several, and has nothing to lose
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise OptionError(name, f"names the file of --{other}, too; say another one")
        if path.resolve() in read or _is_in_the_data(path, options):
            raise OptionError(name, f"{path} would be written over, or among, what is read; say another one")
    return paths


def refuse_other_than_names(export_ids: Sequence[str | None], options: argparse.Namespace) -> None:
    """Refuse exports whose ids, which come from a server, would lead elsewhere as names of what is kept of them.

    Raises:
        OptionError: one is no plain name.
    """
    for name in ("checkpoint", "save"):
        for export_id in export_ids if getattr(options, name) is not None else ():
            told = str(export_id)
            if told in ("", ".", "..") or not told.isprintable() or any(sign in told for sign in '/\\:*?"<>|'):
                raise OptionError(name, f"{told!a} is no name for a file; analyze that export alone")


def _see(option: str, name: str, path: Path) -> None:
    if not name or path.is_dir():
        raise OptionError(option, f"{name!a} is not the name of a file")
    if not path.parent.is_dir():
        raise OutputError(name, f"there is no folder {path.parent}; make it first")
    if not path.exists() and not os.access(path.parent, os.W_OK):
        raise OutputError(name, f"the folder {path.parent} is read-only")


def _read(options: argparse.Namespace) -> Iterator[Path]:
    """Yield the files that the command reads, those in a folder apart."""
    for name in _READ:
        text = getattr(options, name, None)
        if text is not None and "://" not in text:
            yield from map(Path, [text, *glob.glob(text, recursive=True)] if name == "origin" else [text])


def _is_in_the_data(path: Path, options: argparse.Namespace) -> bool:
    """Tell whether a file would be one of the tables of the folder that is read."""
    origin = getattr(options, "origin", None)
    table = path.name.lower().endswith(SUFFIXES) or path.name == LISTING
    return origin is not None and table and path.resolve().parent == Path(origin).resolve()
