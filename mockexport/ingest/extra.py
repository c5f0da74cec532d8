"""Says which extra to install when one of its packages is missing. Nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

from mockexport.ingest.errors import ExtraMissing

__all__ = ["explained"]


@contextmanager
def explained() -> Iterator[None]:
    """Turn a missing third-party package inside the block into `ExtraMissing`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "mockexport":
            raise
        raise ExtraMissing(error.name) from error
