"""What goes wrong with a request, and when: by probabilities, drawn from a seed, and by a script that says it.

Rules: pure; `misbehaving` does what is decided here. The draw for a download's n-th data request depends on the seed,
the download's id and n alone. So the same seed brings the same faults in the same order to every download, however many
of them a client fetches at once; and so does a script, which counts the requests of each download by themselves. A
request suffers one fault at most, and the script goes first.
"""

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mockexport.errors import OptionError
from mockexport.server.catalogue import Catalogue
from mockexport.server.kinds import FHIR_KINDS, KINDS, RETRY_AFTER, STATUSES, WRONG_PARTS, Fault, Target
from mockexport.server.script import ScriptedFault, bound, brief, read_script, scripted

__all__ = ["Faults", "FaultsLike", "Served"]

# Who replays a run needs the whole list; who forgets a server for a week needs an end to it.
MAX_SERVED = 1_000_000


@dataclass(frozen=True, slots=True)
class Served:
    """A line of the log: which data request of a download it was, from 1, and what happened to it, None for nothing."""

    download_id: str
    request: int
    fault: Fault | None


class Faults:
    """The faults of one server, and the log of what was done to whom.

        Faults.parse("reset=0.2,cut=0.1", seed=7)
        Faults({}, script=[{"download": 2, "kind": "cut", "at": 4096}])

    Args:
        probabilities: by kind, for each data request; their sum is 1 at most.
        seed: the same seed brings the same faults.
        script: what happens to which request (see docs/reference/mock-server.md); it goes before the probabilities.
        delay_s: of `delay`.
        pause_s: between two bytes of `trickle`.
        drip_s: between two bytes of `slow-headers`.

    Raises:
        OptionError: a kind, a probability or an entry of the script is none; the message says what is allowed.
    """

    def __init__(
        self,
        probabilities: Mapping[str, float],
        *,
        seed: int = 0,
        script: "Iterable[ScriptedFault | Mapping[str, Any]]" = (),
        delay_s: float = 1.0,
        pause_s: float = 10.0,
        drip_s: float = 0.05,
    ) -> None:
        for kind, probability in probabilities.items():
            if kind not in KINDS and kind not in FHIR_KINDS:
                known = [*KINDS, *FHIR_KINDS]
                raise OptionError("faults", f"no kind {kind!a}; there are {', '.join(known)}", given=kind, known=known)
            if not isinstance(probability, int | float) or not 0 <= probability <= 1:
                raise OptionError("faults", f"{kind}: {brief(probability)} is no probability from 0 to 1")
        if sum(number for kind, number in probabilities.items() if kind in KINDS) > 1 + 1e-9:
            raise OptionError(
                "faults", "the probabilities come to more than 1, and a request suffers one fault at most"
            )
        self.probabilities: dict[str, float] = dict(probabilities)
        self.script: tuple[ScriptedFault, ...] = scripted(script)
        self.seed = seed
        self.delay_s = delay_s
        self.pause_s = pause_s
        self.drip_s = drip_s
        self.served: list[Served] = []
        self.changes: Counter[str] = Counter()  # of ETags, by download
        self._asked: Counter[str] = Counter()
        # By entry of the script and what is asked for: the requests that it fits, and those that it has taken.
        self._fitting: Counter[tuple[int, str, str]] = Counter()
        self._taken: Counter[tuple[int, str, str]] = Counter()
        self._prepared: dict[str, Fault] = {}
        self._failing: dict[str, tuple[Fault, int]] = {}  # a status that goes on, and for how many more tries

    @classmethod
    def parse(cls, text: str, *, seed: int = 0) -> "Faults":
        """Return the faults that a text like `reset=0.2,cut=0.1` means.

        Raises:
            OptionError: it means none.
        """
        probabilities = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            kind, _, number = part.partition("=")
            if kind.strip() in probabilities:
                raise OptionError("faults", f"{kind.strip()!a} is there twice")
            try:
                probabilities[kind.strip()] = float(number)
            except ValueError:
                raise OptionError(
                    "faults", f"{part!a} is not KIND=P, with a probability P from 0 to 1, nor FILE.toml"
                ) from None
        return cls(probabilities, seed=seed)

    @classmethod
    def read(cls, path: str | Path, *, seed: int = 0) -> "Faults":
        """Return the faults that a TOML file means: `[[fault]]` entries of a script, and `[probabilities]`.

        Raises:
            OptionError: it cannot be read, or means none.
        """
        script, probabilities = read_script(path)
        return cls(probabilities, seed=seed, script=script)

    @classmethod
    def of(cls, said: "FaultsLike", *, seed: int = 0) -> "Faults":
        """Return the faults that somebody means: as text, a script's file, probabilities or a script's entries.

        Raises:
            OptionError: it means none.
        """
        if isinstance(said, Faults):
            return said
        if isinstance(said, Path) or (isinstance(said, str) and said.endswith(".toml")):
            return cls.read(said, seed=seed)
        if isinstance(said, str):
            return cls.parse(said, seed=seed)
        if isinstance(said, Mapping) and "kind" in said:
            raise OptionError("faults", "a script is a list of its entries: [{…}], also where there is one alone")
        if said is None or isinstance(said, Mapping):
            return cls(said or {}, seed=seed)
        if not isinstance(said, Iterable):
            raise OptionError("faults", f"must be text, a script or probabilities by kind, and not {brief(said)}")
        return cls({}, seed=seed, script=said)

    def __bool__(self) -> bool:
        return bool(self.probabilities or self.script)

    def bind(self, catalogue: Catalogue) -> None:
        """Settle which downloads of a server the script means.

        Raises:
            OptionError: there is none such, or it has fewer bytes.
        """
        self.script = bound(self.script, catalogue)

    def __repr__(self) -> str:
        told = ",".join(f"{kind}={probability:g}" for kind, probability in self.probabilities.items())
        entries = f" and {len(self.script)} of a script" if self.script else ""
        return f"<Faults {told}{entries} seed {self.seed}, {len(self.served)} requests>"

    def asked(self, download_id: str) -> int:
        """Return how many requests there were for a download's data."""
        return self._asked[download_id]

    def happens(self, kind: str, *place: object) -> bool:
        """Tell whether a kind of FHIR_KINDS happens at this place: to the n-th of something, by its numbers."""
        probability = self.probabilities.get(kind, 0.0)
        return bool(probability) and random.Random(f"{self.seed} {kind} {place}").random() < probability  # noqa: S311

    def next(self, target: Target) -> Fault | None:
        """Return what happens to the next request for this."""
        fault = self._scripted(target)
        if target.route != "data":
            return fault
        self._asked[target.download_id] += 1
        number = self._asked[target.download_id]
        if fault is None:
            fault = self._draw(target.download_id, number, ranged=target.ranged)
        if len(self.served) < MAX_SERVED:
            self.served.append(Served(target.download_id, number, fault))
        return fault

    def _scripted(self, target: Target) -> Fault | None:
        """Return what the first entry of the script says that fits and has not had its times."""
        chosen = None
        for index, entry in enumerate(self.script):
            if not entry.fits(target):
                continue
            key = (index, target.export_id, target.download_id)
            self._fitting[key] += 1
            due = self._fitting[key] >= entry.attempt and (entry.times is None or self._taken[key] < entry.times)
            if chosen is None and due:
                self._taken[key] += 1
                chosen = entry.fault
        return chosen

    def _draw(self, download_id: str, number: int, *, ranged: bool) -> Fault | None:
        if download_id in self._failing:
            fault, left = self._failing.pop(download_id)
            if left > 1:
                self._failing[download_id] = (fault, left - 1)
            return fault
        if ranged and download_id in self._prepared:
            return self._prepared.pop(download_id)
        draw = random.Random(f"{self.seed} {download_id} {number}")  # noqa: S311 - to be replayed
        kind = self._kind(draw.random())
        if kind is None:
            return None
        fault = Fault(
            kind,
            # The first and the last byte are where mistakes are made.
            at=draw.choice((0.0, 1.0, *(draw.random() for _ in range(6)))),
            status=draw.choice(STATUSES) if kind == "status" else 0,
            retry_after=draw.choice(RETRY_AFTER) if kind == "status" else None,
            variant=draw.choice(WRONG_PARTS) if kind == "wrong-206" else "",
        )
        tries = draw.randint(1, 3)
        if kind == "status" and tries > 1:
            self._failing[download_id] = (fault, tries - 1)
        if kind in ("no-range", "wrong-206") and not ranged:
            self._prepared[download_id] = fault
            return Fault(kind, at=fault.at, prepares=True)
        return fault

    def _kind(self, number: float) -> str | None:
        for kind, probability in self.probabilities.items():
            if kind in FHIR_KINDS:
                continue
            if number < probability:
                return kind
            number -= probability
        return None


# What may be given for faults: see `Faults.of`.
FaultsLike = Faults | Mapping[str, float] | str | Path | Iterable[ScriptedFault | Mapping[str, Any]] | None
