"""The service as a real process on a free port: started, asked, stopped, killed. For tests and benchmarks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

__all__ = ["RunningService", "scratch"]

# Importing FastAPI and Polars takes a second, on a busy machine half a minute.
_START_S = 120.0
_STOP_S = 20.0


def scratch() -> Path:
    """Return a folder of the working directory that is not kept: on a disk, where the system's own may be in memory."""
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    return folder


class RunningService:
    """`with RunningService(folder) as service:`; `url` is where it answers."""

    def __init__(self, folder: Path, command: list[str] | None = None, **settings: object) -> None:
        self.folder = folder
        self._command = command or [sys.executable, "-m", "mockexport.ingest.service"]
        self._environment = {
            **os.environ,
            "MOCKEXPORT_INGEST_DATA": str(folder / "data"),
            "MOCKEXPORT_INGEST_PORT": "0",
            **{f"MOCKEXPORT_INGEST_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.log = folder / "service.log"
        self.url = ""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RunningService":
        """Start the process and wait until it listens."""
        with self.log.open("ab") as log:
            position = log.tell()
            self.process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_S
        while True:
            text = self.log.read_bytes()[position:].decode()
            for line in text.splitlines():
                if "running on http://" in line:
                    self.url = "http://" + line.partition("running on http://")[2].partition(" ")[0]
                    return self
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"the service did not start:\n{text}")
            time.sleep(0.01)

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL: no handler, no flush, no goodbye."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """SIGTERM; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(_STOP_S)
        self.process = None
        return code

    def memory_mib(self) -> float:
        """Return the resident memory of the process now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no resident memory is told")

    def cpu_s(self) -> float:
        """Return the processor time that the process has used: what a busy machine does not change much."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log_lines(self) -> list[dict[str, object]]:
        """Return the log, each line as the object it must be."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def __enter__(self) -> "RunningService":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
