"""`run`: analyze for those who do not use asyncio, wherever Python runs."""

import inspect
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

import mockexport
from mockexport.analysis import AnalyzeKeywords
from mockexport.errors import FolderError, OptionError
from mockexport.events import DownloadStarted, Event
from tests.rows import HEADER

DEMO = (Path(__file__).parents[1] / "examples" / "outputs" / "demo.json").read_text()


def test_the_report_is_that_of_analyze() -> None:
    assert mockexport.run("demo").to_json() == DEMO
    assert not [thread for thread in threading.enumerate() if thread.name == "mockexport"]


async def test_it_runs_beside_a_loop_that_is_running(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + b"P,2025-08-26T00:00:00Z,heart_rate,7\n" * 3)
    report = mockexport.run(folder=tmp_path, reducer=mockexport.Counts())
    assert report.totals == {"heart_rate": 3}


def test_errors_are_those_of_analyze(tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        mockexport.run(folder=tmp_path / "missing")


def test_a_mistaken_option_is_told_the_nearest_there_is() -> None:
    with pytest.raises(OptionError, match=r"^concurency: is no option of a run; did you mean concurrency\?$"):
        mockexport.run("demo", concurency=2)  # type: ignore[call-arg]


async def test_a_session_of_another_loop_is_refused() -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(OptionError, match=r"await mockexport.analyze"):
            mockexport.run("demo", session=session)


def test_ctrl_c_ends_the_run_and_its_thread() -> None:
    begun = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, DownloadStarted):
            begun.set()

    def interrupt() -> None:
        begun.wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        mockexport.run("large", listener=listen)
    assert not [thread for thread in threading.enumerate() if thread.name == "mockexport"]


@pytest.mark.parametrize("function", [mockexport.analyze, mockexport.run])
def test_help_shows_each_keyword_by_name(function: Callable[..., object]) -> None:
    names = inspect.signature(function).parameters
    assert {*AnalyzeKeywords.__annotations__} < {*names}
    assert (names["concurrency"].default, names["url"].default) == (4, None)
