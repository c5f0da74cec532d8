"""The service as a process: its lock, its modes, its signals, its log, its simulator."""

import os
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from itertools import pairwise
from pathlib import Path

import pytest

from mockexport.ingest.devices import Account, explain, plan
from mockexport.ingest.errors import ExtraMissing, FolderInUse, FolderUnusable
from mockexport.ingest.extra import explained
from tests.ingest.running import RunningService
from tests.ingest.serving import POST, POST_BATCH
from tests.ingest.stored import opened, some, write

ROOT = Path(__file__).parents[2]


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with RunningService(tmp_path) as service:
        with pytest.raises(FolderInUse, match=f"process {service.pid} on "), opened(tmp_path / "data"):
            pass
        other = tmp_path / "other"
        other.mkdir()
        second = RunningService(other, data=service.folder / "data")
        with pytest.raises(RuntimeError, match="did not start"):
            second.start()
        said = [str(line["event"]) for line in second.log_lines() if line["logger"] == "mockexport.ingest"]
        assert said == [f"{service.folder / 'data'} is in use by {_holder(service)}; one process owns a data folder"]
        holder = service.pid
        service.kill()
        with opened(tmp_path / "data") as store:
            write(store, some(1))
        assert str(holder) not in (tmp_path / "data" / "lock").read_text()


def _holder(service: RunningService) -> str:
    return (service.folder / "data" / "lock").read_text().strip()


def test_devices_play_against_it_and_nothing_is_lost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mockexport", "ingest"]
    with RunningService(tmp_path, command=command, compact_rows=400, compact_age_s=0.2) as service:
        command = [
            sys.executable,
            str(ROOT / "examples" / "generate_data.py"),
            "--url",
            service.url,
            "--max",
            "1500",
            "--rate",
            "0",
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        played = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert played.returncode == 0, played.stdout + played.stderr
        assert "lost 0, stale 0, doubled 0" in played.stdout
        for path in ("/health", "/metrics", "/docs", "/openapi.json", "/"):
            with urllib.request.urlopen(service.url + path) as reply:
                assert reply.status == 200
        data = service.folder / "data"
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [data, *data.rglob("*")]}
        assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
        assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
        assert any(path.suffix == ".parquet" for path in modes)
        assert service.stop() in (0, -15)
        events = service.log_lines()
        assert [line["event"] for line in events if line["logger"] == "mockexport.ingest"] == [
            "store opened",
            "store closed",
        ]
        text = service.log.read_text()
        assert not any(word in text for word in ("user_0", "device_a", 'heart_rate"'))


HALVES = {
    "half a head": b"POST /metrics/heart-rate HTTP/1.1\r\nhost: localhost\r\ncontent-le",
    "half a body": POST + b"content-length: 100\r\n\r\n{",
    "a batch announced": POST_BATCH + b"content-length: 4194304\r\n\r\n",
}


def test_half_a_request_is_told_503_when_the_service_ends(tmp_path: Path) -> None:
    with RunningService(tmp_path) as service:
        halves = [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in HALVES]
        for half, sent in zip(halves, HALVES.values(), strict=True):
            half.sendall(sent)
        # Whoever came before has been heard when the last one is answered.
        with urllib.request.urlopen(f"{service.url}/health") as reply:
            assert reply.status == 200
        assert service.stop() in (0, -15)
        for half in halves:
            answer = half.makefile("rb").read()
            half.close()
            assert answer.startswith(b"HTTP/1.1 503 "), answer
            assert b"\r\nretry-after: 1\r\n" in answer
        assert "Traceback" not in service.log.read_text()


def test_a_taken_port_and_a_bad_option_end_it_with_a_reason(tmp_path: Path) -> None:
    with RunningService(tmp_path / ".") as service:
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(RuntimeError, match="address already in use"):
            RunningService(other, port=service.port).start()
    with pytest.raises(RuntimeError, match="MOCKEXPORT_INGEST_PORT"):
        RunningService(tmp_path, port="eight").start()


def test_a_folder_that_cannot_be_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderUnusable, match="file"), opened(tmp_path / "file"):
        pass
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal.sqlite").write_bytes(b"no database, but long enough to look at" * 30)
    with pytest.raises(FolderUnusable, match="not a database"), opened(tmp_path / "data"):
        pass


def test_a_service_that_cannot_start_says_why_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    command = [sys.executable, "-m", "mockexport", "ingest", "--port", "0", "--data", str(tmp_path / "file")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert ended.returncode == 1
    assert f"data folder {tmp_path / 'file'}: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(ExtraMissing, match=r"pip install 'mockexport\[ingest\]'"), explained():
        import mockexport_surely_not_there  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(ModuleNotFoundError, match=r"mockexport\.nothing"), explained():
        import mockexport.nothing  # type: ignore[import-not-found]  # noqa: F401


def test_importing_the_room_loads_none_of_the_extra() -> None:
    code = (
        "import sys, mockexport.ingest, mockexport.ingest.service, mockexport.ingest.readings;"
        "print(sorted({'fastapi', 'polars', 'pydantic', 'uvicorn', 'aiohttp'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_play_is_the_same_again_and_has_everything_in_it() -> None:
    steps = plan(3_000, seed=5)
    assert steps == plan(3_000, seed=5)
    assert steps != plan(3_000, seed=6)
    readings = [reading for step in steps for reading in step.readings]
    assert len(set(readings)) == 3_000
    assert len(readings) > 3_000, "some are sent twice"
    assert len({reading[:3] for reading in readings}) == 3_000
    times = [reading.time_us for reading in readings]
    assert sum(before > after for before, after in pairwise(times)) > 100, "out of order"
    assert max(len(step.readings) for step in steps) > 5, "bursts"
    assert len({reading.user_id for reading in readings}) == 8
    assert len({reading.device_id for reading in readings}) == 2


def test_the_check_tells_lost_from_doubled() -> None:
    assert explain([60, 70, 80], 70) == (0, 0)
    assert explain([60, 70, 80], 75) == (1, 0)
    assert explain([60, 70, 80], None) == (3, 0)
    assert explain([60, 70, 81], 68.5) == (0, 1)
    account = Account(stale=1)
    assert not account.right
    assert Account().percentile_ms(0.99) == 0
