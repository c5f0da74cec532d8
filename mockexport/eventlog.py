"""Events as lines of JSON, for programs: names and fields are stable (docs/reference/events.md), new ones may come.

Rules: a line per event, written when it happens, so that the file tells the story of a run that was killed, too.
Progress within a download (`Advanced`) is left out: it would be the bulk of the file, and tells nothing afterwards.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mockexport import events
from mockexport.errors import OutputError
from mockexport.events import Event

__all__ = ["EventLog", "to_plain"]


def to_plain(event: Event) -> dict[str, Any] | None:
    """Return an event as what JSON can hold, None for those that are left out."""
    match event:
        case events.RunStarted(export_id, downloads, engine):
            announced = [{"id": download.id, "rows": download.rows} for download in downloads]
            return {"event": "run_started", "export_id": export_id, "engine": engine, "downloads": announced}
        case events.DownloadStarted(download_id):
            return {"event": "started", "download": download_id}
        case events.Opened(download_id, resumable, total_bytes):
            return {"event": "opened", "download": download_id, "resumable": resumable, "total_bytes": total_bytes}
        case events.Divided(download_id, spans):
            return {"event": "divided", "download": download_id, "spans": spans}
        case events.Retried(download_id, attempt, wait_s, reason, offset, asked_s):
            return {
                "event": "retried",
                "download": download_id,
                "attempt": attempt,
                "reason": reason,
                "wait_s": round(wait_s, 3),
                "retry_after_s": asked_s,
                "offset": offset,
            }
        case events.Resumed(download_id, offset):
            return {"event": "resumed", "download": download_id, "offset": offset}
        case events.StartedOver(download_id, attempt, wait_s, reason, void_bytes, asked_s):
            return {
                "event": "restarted",
                "download": download_id,
                "attempt": attempt,
                "reason": reason,
                "wait_s": round(wait_s, 3),
                "retry_after_s": asked_s,
                "bytes_fetched_twice": void_bytes,
            }
        case events.Restored(download_id, offset, rows, finished):
            return {"event": "restored", "download": download_id, "offset": offset, "rows": rows, "finished": finished}
        case events.Kept(download_id, offset, finished):
            return {"event": "kept", "download": download_id, "offset": offset, "finished": finished}
        case events.Skipped(download_id, reason):
            return {"event": "skipped", "download": download_id, "reason": reason}
        case events.WorkerLost(worker, download_ids):
            return {"event": "worker_lost", "worker": worker, "downloads": list(download_ids)}
        case events.CheckpointSaved(finished_downloads, in_flight):
            return {"event": "checkpoint_saved", "finished": finished_downloads, "in_flight": in_flight}
        case events.DownloadFinished(download_id, verdict, received_bytes, rows, bad_rows):
            return {
                "event": "finished",
                "download": download_id,
                "verdict": verdict.kind,
                "reasons": list(verdict.reasons),
                "rows": rows,
                "bad_rows": bad_rows,
                "bytes": received_bytes,
            }
        case events.RunFinished(export_id, elapsed_s):
            return {"event": "run_finished", "export_id": export_id, "elapsed_s": round(elapsed_s, 3)}
        case _:
            return None


class EventLog:
    """A listener that writes events into a new file, its owner's alone, a line each.

    Args:
        path: the file; what it held is replaced.
        now: seconds since 1970, for the `time` of each line.
    """

    def __init__(self, path: str | Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._now = now
        try:
            if self._path.is_file():  # a pipe or a terminal is written to as it is
                self._path.unlink()
            if not self._path.exists():
                self._path.touch(mode=0o600)
            self._file = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise OutputError(path, error.strerror or type(error).__name__) from error

    def __call__(self, event: Event) -> None:
        plain = to_plain(event)
        if plain is None:
            return
        name = plain.pop("event")
        line = {"event": name, "time": round(self._now(), 6), **plain}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(self._path, error.strerror or type(error).__name__) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
