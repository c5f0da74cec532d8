"""The code blocks of a page, and a reader who tries them one after the other in an empty folder.

`console`
    Every line that begins with `$ ` is run by bash, with what is installed here in front; lines that begin with `> ` go
    on with it. What follows, up to the next `$ `, is what the terminal shows, where anything is shown; `…` stands for
    any text in a line, and as a line for any lines. A command that fails fails the page, unless the next one is
    `echo $?`. One that ends in `&` is left running once it has printed a line, until `kill %1` or the page's end; where
    `^C` is shown, Ctrl-C is pressed when all before it has been printed.
`python`
    Is executed; the blocks of a page share their names, and may await. A `text` block right after it is what it prints.
any, after a paragraph that ends in "`name.ext`:"
    Is the content of that file.
`json`
    Else has to be JSON, where nothing is left out with `…`.
any, after `<!-- not run: why -->`
    Is not tried. Nor are `text`, which is shown for its form, and what Sphinx itself includes (`{…}`).
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

__all__ = ["LANGUAGES", "Block", "Reader", "blocks"]

LANGUAGES = ("console", "json", "python", "text", "toml")

_SKIPPED = re.compile(r"<!-- not run: (.+?) -->")
_FILE = re.compile(r"`([\w./-]+\.\w+)`:$")
_LIMIT_S = 40.0


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `line` is that of its first line of content; `file` the name that the text before it gives."""

    line: int
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None
    output: str | None = None


def blocks(markdown: str) -> list[Block]:
    """Return the blocks of a page in order; a `text` block that is the output of the one before is part of that one."""
    found: list[Block] = []
    before, previous_end = "", -1
    for token in MarkdownIt("commonmark").parse(markdown):
        if token.type in ("inline", "html_block"):
            before = token.content.strip()
        elif token.type == "fence":
            assert token.map is not None
            language = token.info.split()[0] if token.info.strip() else ""
            between = "\n".join(markdown.split("\n")[previous_end : token.map[0]]).strip()
            if language == "text" and found and found[-1].language == "python" and previous_end > 0 and not between:
                last = found.pop()
                found.append(Block(last.line, "python", last.text, last.file, last.not_run, token.content))
            else:
                skipped, named = _SKIPPED.search(before), _FILE.search(before)
                found.append(
                    Block(
                        token.map[0] + 2,
                        language,
                        token.content,
                        named[1] if named else None,
                        skipped[1] if skipped else None,
                    )
                )
            before, previous_end = "", token.map[1]
    return found


@dataclass
class Reader:
    """Tries blocks in `folder`. `names` maps addresses that the pages speak of to those that are listened at here."""

    page: Path
    folder: Path
    names: Mapping[str, str]
    environment: Mapping[str, str]
    _shared: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    _running: list[subprocess.Popen[str]] = field(default_factory=list)
    _status: int = 0

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            _interrupt(process)

    def read(self, block: Block) -> None:
        """Do what the block says; AssertionError, with the page's line, where it does not do what is shown."""
        if block.not_run is not None or block.language.startswith("{"):
            return
        if block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._here(block.text))
        elif block.language == "console":
            self._console(block)
        elif block.language == "python":
            self._python(block)
        elif block.language == "json" and "…" not in block.text:
            json.loads(block.text)

    def _console(self, block: Block) -> None:
        steps: list[tuple[int, str, list[str]]] = []
        for number, line in enumerate(block.text.rstrip("\n").split("\n"), block.line):
            if line.startswith("$ "):
                steps.append((number, line[2:], []))
            elif line.startswith("> ") and steps and not steps[-1][2]:
                steps[-1] = (steps[-1][0], f"{steps[-1][1]}\n{line[2:]}", [])
            else:
                assert steps, f"{self.page.name}:{number}: a console block begins with a command"
                steps[-1][2].append(line)
        for position, (number, command, shown) in enumerate(steps):
            last = position + 1 == len(steps)
            may_fail = "^C" in shown or (not last and steps[position + 1][1] == "echo $?")
            told = self._command(self._here(command), shown)
            where = f"{self.page.name}:{number}: {command}"
            assert self._status == 0 or may_fail, f"{where}\nended with {self._status}:\n{told}"
            if shown and "\n".join(shown).strip() != "…":
                _same(told, "\n".join(line for line in shown if line != "^C"), where)

    def _command(self, command: str, shown: list[str]) -> str:
        """Run a command to its end, or as far as is shown of it; return what the terminal shows."""
        if command == "kill %1":
            _interrupt(self._running.pop(0))
            return ""
        left_running = command.endswith(" &")
        state = self.folder.with_suffix(".environment")
        script = (
            f"[ -e {state} ] && . {state}; (exit {self._status})\n{command.removesuffix(' &')}\n"
            f"_status=$?; export -p >{state}; exit $_status"
        )
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=self.folder, env=dict(self.environment), text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if left_running:
            self._running.append(process)
            self._status = 0
            assert process.stdout is not None
            return self._there(process.stdout.readline())
        told = ""
        if "^C" in shown:
            assert process.stdout is not None
            for _ in range(shown.index("^C")):
                told += process.stdout.readline()
            os.killpg(process.pid, signal.SIGINT)
        try:
            rest, _nothing = process.communicate(timeout=_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        self._status = process.returncode
        return self._there(told + rest)

    def _python(self, block: Block) -> None:
        # Blank lines in front, so that a traceback tells the page's line.
        source = "\n" * (block.line - 1) + self._here(block.text)
        code = compile(source, str(self.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        told = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(told):
            waiting = eval(code, self._shared)  # noqa: S307
            if inspect.isawaitable(waiting):
                asyncio.run(_all_of(waiting))
        if block.output is not None:
            _same(self._there(told.getvalue()), block.output, f"{self.page.name}:{block.line}")

    def _here(self, text: str) -> str:
        for told, listened in self.names.items():
            text = text.replace(told, listened)
        return text

    def _there(self, text: str) -> str:
        for told, listened in self.names.items():
            text = text.replace(listened, told)
        return text


async def _all_of(waiting: Any) -> None:
    await waiting


def _same(told: str, shown: str, where: str) -> None:
    """Hold what is told to what is shown: `…` stands for any text in a line, and as a line for any lines."""
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in _plain(shown).split("\n")
    )
    assert re.fullmatch(pattern, _plain(told) + "\n"), f"{where}\nshown:\n{_plain(shown)}\ntold:\n{_plain(told)}"


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def _interrupt(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
