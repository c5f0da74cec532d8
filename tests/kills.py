"""Processes that are killed, kill -9, at random points, and runs that go on from what they left:

    python -m tests.kills --kills 200 [--seed N] [--files]

Each run analyses `demo` from a mock server that misbehaves, slowly, with a checkpoint; or, with --files, it keeps the
files in a folder. One that is killed is started again in the same way until it comes to its end, and then its report,
and the folder, must be the undisturbed one's to the byte. Exit code 1 if one is not.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from mockexport import Batch, ExportApi, MockServer, Pipeline, RetryPolicy, Summary, analyze
from mockexport.pipeline.checkpoint import Checkpoint
from mockexport.reducers.summary import SummaryState
from mockexport.report.account import Account
from mockexport.report.report import Report
from mockexport.saving.source import Saving
from mockexport.server.folder import generate
from mockexport.sources.listing import LISTING, read_listing

# A checkpoint, or a note of a part of a file, this often, and rows this slowly, that a kill finds something to spoil.
EVERY_S = 0.02
PER_CHUNK_S = 0.002
CHUNK_BYTES = 8192
# A checkpoint without any state is smaller.
EMPTY_BYTES = 600


@dataclass(frozen=True)
class Slow(Summary):
    """Summary, taking its time."""

    def update(self, state: SummaryState, batch: Batch) -> SummaryState:
        time.sleep(PER_CHUNK_S)
        return super().update(state, batch)


async def child(url: str, kept: Path, output: Path, *, files: bool) -> None:
    """Be the process that is killed: say so, analyse, and write the report at once and whole."""
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    async with ExportApi(url, retry=RetryPolicy(attempts=50, base_wait_s=0.001)) as api:
        saving = Saving(api, kept, note_every_s=EVERY_S) if files else None
        pipeline = Pipeline(
            saving or api, Slow(), chunk_bytes=CHUNK_BYTES, checkpoint_every_s=EVERY_S,
            checkpoint=None if files else Checkpoint(kept, source="the mock server"),
        )  # fmt: skip
        outcome = await pipeline.run("demo")
        if saving is not None:
            saving.finish()
    account = Account("demo", "", True, "", "", 0.0, outcome.downloads)
    partial = output.with_suffix(".partial")
    partial.write_text(Report.of(outcome.result(), account).to_json())
    partial.replace(output)


@dataclass
class Tally:
    """How many processes were killed, how many of those left a state, how many runs ended, and how many wrongly."""

    killed: int = 0
    kept: int = 0
    ended: int = 0
    wrong: int = 0


async def killing(kills: int, seed: int, *, files: bool = False) -> Tally:
    """Kill so many processes, and let the last run come to its end."""
    draw = random.Random(seed)
    told = Tally()
    async with MockServer() as server:
        wanted = (await analyze("demo", url=server.url)).to_json()
    with tempfile.TemporaryDirectory() as folder:
        kept, output, made = Path(folder, "kept"), Path(folder, "report"), Path(folder, "made")
        generate("demo", made)
        async with MockServer(faults="reset=0.2,cut-chunked=0.1,status=0.1", seed=seed) as server:
            while told.killed < kills or not told.ended or kept.exists():  # noqa: ASYNC240 - it is small
                after_s = draw.uniform(0, 0.3) if told.killed < kills else 60
                if await killed(server.url, kept, output, after_s, files=files):
                    told.killed += 1
                    told.kept += any(kept.glob("*.note")) if files else size_of(kept) > EMPTY_BYTES  # noqa: ASYNC240
                else:
                    told.ended += 1
                    left = contents_of(kept) != contents_of(made) if files else size_of(kept) > 0
                    told.wrong += left or text_of(output) != wanted
                    shutil.rmtree(kept, ignore_errors=True)
    return told


async def killed(url: str, kept: Path, output: Path, after_s: float, *, files: bool) -> bool:
    """Run a child and kill it so long after it has begun; return False if it had come to its end by then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.kills",
        "--child",
        url,
        str(kept),
        str(output),
        *(["--files"] if files else []),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    with suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            await process.wait()
    if process.returncode is not None:
        await process.communicate()
        return False
    process.kill()
    await process.communicate()
    return True


def size_of(path: Path) -> int:
    """Return a file's size, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def contents_of(folder: Path) -> dict[str, object]:
    """Return the files of a folder by their names; of the listing what it says, but for the server's tags."""
    contents: dict[str, object] = {path.name: path.read_bytes() for path in folder.iterdir()}
    if (folder / LISTING).exists():
        listing = read_listing(folder)
        contents[LISTING] = [replace(listed, version=None) for listed in listing.downloads]
    return contents


def text_of(path: Path) -> str:
    """Take a file away and return what it held, nothing if there is none."""
    text = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return text


def main() -> int:
    """Read the arguments and do as they say."""
    parser = argparse.ArgumentParser(description="Kill analysing processes.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", nargs=3, metavar=("URL", "KEPT", "OUTPUT"))
    parser.add_argument("--files", action="store_true", help="keep files instead of a checkpoint")
    options = parser.parse_args()
    if options.child:
        url, kept, output = options.child
        asyncio.run(child(url, Path(kept), Path(output), files=options.files))
        return 0
    told = asyncio.run(killing(options.kills, options.seed, files=options.files))
    sys.stdout.write(
        f"{told.killed} kills, {told.kept} left a state; {told.ended} runs ended, {told.wrong} of them wrongly\n"
    )
    return 1 if told.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
