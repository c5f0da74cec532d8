"""Structured logs: one JSON object a line, to stderr. They hold no user, no device, no value, and no query string."""

import json
import logging
import sys
import time
from contextvars import ContextVar

__all__ = ["REQUEST_ID", "JsonLines", "set_up_logging"]

# The id of the request that is being served, which every line about it bears.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


class JsonLines(logging.Formatter):
    """A record as one line; `extra={"facts": {…}}` adds its keys. Of an exception only the type and the place."""

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line: dict[str, object] = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": _without_trace(record.getMessage()),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        facts = getattr(record, "facts", None)
        if isinstance(facts, dict):
            line |= facts
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            trace = record.exc_info[2]
            # The innermost place; the message and the source lines around it may quote a reading.
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            if trace is not None:
                line["at"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        return json.dumps(line, ensure_ascii=True)


def _without_trace(message: str) -> str:
    """Return a message, and of a traceback, as uvicorn reports a failed start, the type alone."""
    if not message.startswith("Traceback "):
        return message
    return message.rstrip().rpartition("\n")[2].partition(":")[0]


def set_up_logging(level: int = logging.INFO) -> None:
    """Send this process's logs to stderr as JSON lines: for a process of the service's own, not for its host's."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The command line has a log of its own there, for people.
    ours = logging.getLogger("mockexport")
    ours.handlers.clear()
    ours.propagate = True
