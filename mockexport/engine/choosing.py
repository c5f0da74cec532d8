"""Which engine folds a run's chunks: the best there is for its reducer, or the one asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mockexport.engine.fold import NewFold
from mockexport.engine.reference import ReferenceFold
from mockexport.engine.unbuilt import unbuilt
from mockexport.errors import OptionError
from mockexport.formats.filters import Filter
from mockexport.formats.format import Format
from mockexport.formats.schema import Schema
from mockexport.reducers import Distinct, Latest, Reducer

__all__ = ["ENGINES", "Engine", "choose_engine", "kernel_problem"]

# What may be asked for: the best there is for the reducer, or one of the two.
ENGINES = ("auto", "kernel", "python")

if TYPE_CHECKING:
    from mockexport._kernel import Crew

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Engine(Generic[S]):
    """Who folds a run's chunks.

    `name` tells what does the work: "kernel", "kernel+python" (the kernel decodes, the reducer is in Python) or
    "python". `reducer` is the reducer in the engine's form: the same as bytes and in its results, with states of its
    own kind. `new_crew` makes a crew of native threads, which read files and, where `folds_natively`, do the
    scans of folds; `releases_lock` tells whether several folds make progress at once.
    """

    name: str
    reducer: Reducer[S, Any]
    new_fold: NewFold[S]
    releases_lock: bool = False
    new_crew: "Callable[[int], Crew] | None" = None
    folds_natively: bool = False

    def useful_threads(self, cores: int) -> int:
        """Return how many folds can make progress at once."""
        return cores if self.releases_lock else 1


def choose_engine(
    reducer: Reducer[Any, Any],
    schema: Format,
    *,
    asked: Filter | None = None,
    coverage: bool = False,
    strict: bool = False,
    wanted: str = "auto",
) -> Engine[Any]:
    """Return the engine `wanted` for this reducer and the rows `asked` for; "auto" is the fastest that there is.

    With `coverage`, tallies count rows by hour.

    Raises:
        OptionError: if there is no such engine, or it cannot do what is wanted.
    """
    if wanted not in ENGINES:
        raise OptionError("engine", f"{wanted!a} is none of {', '.join(ENGINES)}")
    problem = kernel_problem()
    if problem is not None and wanted == "kernel":
        raise OptionError("engine", f"the kernel cannot be used: {problem}")
    if problem is not None or wanted == "python":
        return _by_reference("python", reducer, schema, asked, coverage, strict)
    if isinstance(schema, Schema):
        return _compiled(reducer, schema, asked, coverage, strict)
    from mockexport.engine.kernel import twin_of

    # The states are compiled ones; the decoder is the format's own.
    return _by_reference("kernel+python", twin_of(reducer) or reducer, schema, asked, coverage, strict)


def _by_reference(
    name: str, reducer: Reducer[Any, Any], schema: Format, asked: Filter | None, coverage: bool, strict: bool
) -> Engine[Any]:
    if schema.versioned:
        reducer = Latest(reducer, asked)
    return Engine(
        name,
        reducer,
        lambda span, header=None, pending=b"": ReferenceFold(
            span, schema, reducer, asked=asked, coverage=coverage, strict=strict, header=header, pending=pending
        ),
    )


def _compiled(
    reducer: Reducer[Any, Any], schema: Schema, asked: Filter | None, coverage: bool, strict: bool
) -> Engine[Any]:
    """Return the compiled engine; importing it fails where it was not built."""
    from mockexport._kernel import Crew
    from mockexport.engine.columns import ColumnsFold
    from mockexport.engine.kernel import KernelFold, offsets_of, twin_of

    if schema.timezone is not None:
        offsets_of(schema.timezone)  # now: later, all threads would want it at once
    if isinstance(reducer, Distinct) and (inner := twin_of(reducer.reducer)) is not None:
        reducer = Distinct(inner)
    twin = twin_of(reducer)
    if twin is not None:
        return Engine(
            "kernel",
            twin,
            lambda span, header=None, pending=b"": KernelFold(
                span, schema, twin, asked=asked, coverage=coverage, strict=strict, header=header, pending=pending
            ),
            releases_lock=True,
            new_crew=Crew,
            folds_natively=True,
        )
    return Engine(
        "kernel+python",
        reducer,
        lambda span, header=None, pending=b"": ColumnsFold(
            span, schema, reducer, asked=asked, coverage=coverage, strict=strict, header=header, pending=pending
        ),
        releases_lock=True,
        new_crew=Crew,
    )


def kernel_problem() -> str | None:
    """Return why the kernel cannot be used, and what to do; None if it can."""
    try:
        # With all that is taken of it: it may have been built from other sources than these.
        import mockexport.engine.kernel  # noqa: F401
    except ImportError as error:
        return unbuilt("_kernel", error)
    return None
