"""What to ask of which FHIR server, as a value; and the job that comes of it, for its end."""

from dataclasses import dataclass, field
from pathlib import Path

from mockexport.errors import OptionError

__all__ = ["FhirServer", "Job"]


@dataclass(slots=True)
class Job:
    """A job on a server: where its status is asked for, once that is known."""

    status_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A FHIR Bulk Data export: one of the three says where to begin.

    Args:
        url: the FHIR server's base URL: start a job there. Also needed beside the others, for tokens, unless the server
            asks for none.
        group: with `url`, the id of the group whose data is asked for, or was by the job of that status; by default,
            all patients'.
        status: the URL of a job that was started before: wait for it.
        manifest: the URL of a finished job's manifest, or of one that is published.
        client_id: who the client is for the server, where that asks for signed assertions (SMART Backend Services).
        key: a file with the client's private key: PEM, or a JWK set.
        scope: of the token that is asked for.
        type_filters: with `url`, searches of which a wanted Observation matches one; where the server does not know
            such, all are fetched. What is counted does not depend on it.
        poll_s: how long to wait before a job's status is asked for again; longer and longer from there on, up to a
            minute, and never shorter than the server asks for.
        job: is told where the job is, so that it can be taken up again, or ended.

    Raises:
        OptionError: for what does not go together.
    """

    url: str | None = None
    group: str | None = None
    status: str | None = None
    manifest: str | None = None
    client_id: str | None = None
    key: str | Path | None = None
    scope: str = "system/Observation.rs"
    type_filters: tuple[str, ...] = ()
    poll_s: float = 1.0
    job: Job = field(default_factory=Job, compare=False)

    def __post_init__(self) -> None:
        if self.status is not None and self.manifest is not None:
            raise OptionError("fhir", "status and manifest each say where to begin; give one of them")
        if self.url is None and self.status is None and self.manifest is None:
            raise OptionError("fhir", "says not where: give url, status or manifest")
        if self.group is not None and (self.manifest or not self.url):
            raise OptionError("fhir", "group goes with url, where a job is started, or was")
        if not self.poll_s > 0:
            raise OptionError("fhir", "poll_s must be more than 0")
        if (self.client_id is None) != (self.key is None):
            raise OptionError("fhir", "client_id and key go together")
        if self.client_id is not None and self.url is None:
            raise OptionError("fhir", "client_id goes with url, where a token is to be had")
        for name in ("url", "status", "manifest"):
            text = getattr(self, name)
            if text is not None and not text.startswith(("http://", "https://")):
                raise OptionError("fhir", f"{name} is no http:// or https:// URL")

    @property
    def begin(self) -> str:
        """The URL that is asked first; its origin may see the token."""
        found = self.manifest or self.status or self.url
        assert found is not None  # noqa: S101 - one is there
        return found
