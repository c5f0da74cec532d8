"""One process owns a data folder: a lock file that names the holder. The kernel frees it when the holder dies."""

import fcntl
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from mockexport.ingest.disk import FILE_MODE
from mockexport.ingest.errors import FolderInUse

__all__ = ["FolderLock"]

# Enough for any holder's line; a foreign file of that name is not read to its end.
_HOLDER_BYTES = 300


class FolderLock:
    """Held from construction to `release`, or to the end of the process."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            FolderInUse: somebody else has it; the message says who.
        """
        self._handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._handle, _HOLDER_BYTES, 0).decode("utf-8", "replace").strip()
            os.close(self._handle)
            raise FolderInUse(folder, holder or "a process that did not name itself") from error
        # The name is for people; the lock itself is the kernel's, so a stale line from a killed holder blocks nobody.
        os.ftruncate(self._handle, 0)
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        os.pwrite(self._handle, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one in. The file stays: removing it would let two holders lock two files of one name."""
        os.close(self._handle)
