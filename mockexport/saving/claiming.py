"""One run at a time keeps files in a folder: a claim that the system frees when its holder ends, however it does.

The folder itself is locked, so no file is left that says so. Windows and some network drives know no such lock: there
nothing is claimed.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from mockexport.errors import OutputError

if sys.platform != "win32":
    import fcntl

__all__ = ["Claim"]


class Claim:
    """The sole right to write to a folder, from construction to `release`.

    Raises:
        OutputError: another run has it.
    """

    __slots__ = ("_handle",)

    def __init__(self, directory: Path) -> None:
        self._handle: int | None = None
        if sys.platform == "win32":
            return
        try:
            self._handle = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise OutputError(directory, error.strerror or type(error).__name__) from error
        try:
            with suppress(OSError):  # what is not a lock that another holds is a drive that knows none
                try:
                    fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    raise OutputError(
                        directory, "another run is keeping files in it; wait for its end, or name another folder"
                    ) from error
        except OutputError:
            self.release()
            raise

    def release(self) -> None:
        """Let the next one in; nothing happens the second time."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
