"""The server's page for people, at `/`: what it offers, how to get at it, and what goes wrong on purpose.

Everything from data, and from the request, is escaped; the page holds no script and loads nothing (see
report.markup).
"""

import re
from collections.abc import Mapping

from mockexport.report.markup import Markup, element, named, page, shown, table
from mockexport.report.plain import size
from mockexport.server.catalogue import Catalogue, Offer
from mockexport.server.faults import Faults
from mockexport.server.kinds import FHIR_KINDS, KINDS

__all__ = ["MAX_SHOWN", "front_page"]

# Downloads of an export that are listed; the API lists all.
MAX_SHOWN = 100

_HEADS: list[tuple[str, str | None]] = [
    ("Download", None),
    ("event types", None),
    ("from", "time"),
    ("to (exclusive)", "time"),
    *((head, "number") for head in ("patients", "rows", "size")),
]

# What may stand in a command that somebody copies: a name or address, and a port.
_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")


def front_page(catalogue: Catalogue, faults: Faults | None, *, origin: str, synthetic: bool) -> str:
    """Return the page.

    Args:
        catalogue: what is on offer.
        faults: what goes wrong; None if nothing does.
        origin: how the client calls the server, `http://127.0.0.1:8000`, for the commands to copy.
        synthetic: the data is made up.
    """
    scheme, _, host = origin.partition("://")
    url = f"{scheme}://{host if _HOST.fullmatch(host) else '127.0.0.1'}"
    first = next(iter(catalogue), "demo")
    told = (
        "All data here is synthetic: it is made while it is sent, and the same every time."
        if synthetic
        else "The data comes from files in a folder."
    )
    return page(
        "mockexport: mock export server",
        element("h1", "Mock export server"),
        element("p", told),
        element("h2", "How to use it"),
        *_usage(url, first, catalogue.get(first, {})),
        element("h2", "Faults"),
        *_faults(faults),
        element("h2", "Exports"),
        *(part for export_id, offers in catalogue.items() for part in _export(export_id, offers)),
    )


def _usage(url: str, export_id: str, offers: Mapping[str, Offer]) -> list[Markup]:
    name = _word(export_id)
    steps = [
        ("Statistics of an export while it downloads", f"mockexport analyze {name} --url {url}"),
        ("The same as a page with pictures", f"mockexport analyze {name} --url {url} --html report.html"),
        ("Keep its files", f"mockexport download {name} {name} --url {url}"),
        ("The exports there are", f"curl {url}/api/export"),
        ("The downloads of one", f"curl {url}/api/export/{name}"),
    ]
    if offers:
        path = f"{url}/api/export/{name}/{_word(next(iter(offers)))}"
        steps += [("What is announced of a download", f"curl {path}"), ("Its rows", f"curl {path}/data")]
    lines = [
        Markup(f"{element('span', '# ' + what, class_='soft')}\n{element('span', how)}\n\n") for what, how in steps
    ]
    return [element("pre", element("code", *lines[:-1], Markup(lines[-1].rstrip())), tabindex="0")]


def _word(text: str) -> str:
    """Return an id as it can be copied to a shell, or what stands for one that cannot."""
    return text if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._\-]*", text) else "ID"


def _faults(faults: Faults | None) -> list[Markup]:
    found = {} if faults is None else {kind: share for kind, share in faults.probabilities.items() if share}
    if faults is None or not (found or faults.script):
        return [element("p", "Nothing goes wrong on purpose: the server was started without ", _code("--faults"), ".")]
    lines = [
        element(
            "li",
            _code(f"{kind}={share:g}"),
            f" at /fhir: {FHIR_KINDS[kind]}" if kind in FHIR_KINDS else f" of the data requests: {KINDS[kind]}",
        )
        for kind, share in found.items()
    ]
    parts = []
    if faults.script:
        parts += [element("p", "These go wrong on purpose, by a script:")]
        parts += [element("ul", *(element("li", shown(str(entry))) for entry in faults.script[:MAX_SHOWN]))]
    if found:
        parts += [element("p", f"These go wrong on purpose, drawn with the seed {faults.seed}:"), element("ul", *lines)]
    return parts


def _code(text: str) -> Markup:
    return element("code", text)


def _export(export_id: str, offers: Mapping[str, Offer]) -> list[Markup]:
    announced = [offer.metadata.rows for offer in offers.values()]
    rows = sum(number for number in announced if number is not None)
    length = sum(offer.length for offer in offers.values())
    told = f"{len(offers):,} downloads, {rows:,} rows announced, {size(length)}"
    lines = [_line(offer) for offer in list(offers.values())[:MAX_SHOWN]]
    parts = [
        element("h3", named(export_id)),
        element("p", told, class_="soft"),
        table(f"Export {shown(export_id)}", _HEADS, lines),
    ]
    if len(offers) > MAX_SHOWN:
        parts.append(element("p", f"{len(offers) - MAX_SHOWN:,} further downloads are left out; the API lists all."))
    return parts


def _line(offer: Offer) -> list[object]:
    announced = offer.metadata
    told = (
        None if announced.event_types is None else ", ".join(announced.event_types),
        announced.start_time,
        announced.end_time,
        None if announced.patients is None else f"{len(announced.patients):,}",
        None if announced.rows is None else f"{announced.rows:,}",
        size(offer.length),
    )
    return [named(announced.id), *("–" if text is None else shown(text) for text in told)]
