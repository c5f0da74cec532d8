"""HTML that is escaped unless it says otherwise, and the frame and look that all pages share.

Rules: `element` escapes all text but what `element` and `page` have made, so nothing that comes from data is ever
markup. A page is one file: no script, no font, no picture from elsewhere, and a policy that forbids them.
"""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

__all__ = ["Markup", "data_for_script", "element", "figure", "named", "page", "policy", "shown", "table"]

_VOID = ("link", "meta", "br")


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def element(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element; children that are no Markup, and attributes, are escaped, and None among them is left out.

    An attribute's underscores are hyphens, but for a last one, as in `class_`, that is none.
    """
    told = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    inner = "".join(
        child if isinstance(child, Markup) else escape(str(child)) for child in children if child is not None
    )
    return Markup(f"<{name}{told}>{inner}</{name}>")


def shown(text: str) -> str:
    """Return text from data with what is invisible, or turns the writing direction, written out: `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        f"\\u{ord(character):04x}" if unicodedata.category(character)[0] in "CZ" and character != " " else character
        for character in text
    )


def named(text: str) -> Markup:
    """Return an id from data, apart from the direction in which the text around it is written."""
    return element("bdi", shown(text))


def figure(value: Any, places: int) -> str:
    """Return a figure for people: fractions with `places` places, a dash for what is missing."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{places}f}"
    return f"{value:,}" if isinstance(value, int) else shown(str(value))


def table(label: str, heads: Sequence[tuple[str, str | None]], lines: Iterable[Sequence[object]]) -> Markup:
    """Return a table whose first column names the line; on a narrow screen each line is a block, its heads beside it.

    Args:
        label: what it is called by those who cannot see it.
        heads: of each column what stands above it, and its kind in the style, if any.
        lines: cells, as children of `element`; one that is a tuple is several children.
    """
    head = element("tr", *(element("th", text, scope="col", class_=kind) for text, kind in heads))
    body = []
    for line in lines:
        first, *others = (cell if isinstance(cell, tuple) else (cell,) for cell in line)
        cells = [
            element("td", *children, class_=kind, data_head=text)
            for (text, kind), children in zip(heads[1:], others, strict=True)
        ]
        body.append(element("tr", element("th", *first, scope="row"), *cells))
    drawn = element("table", element("thead", head), element("tbody", *body))
    return element("div", drawn, class_="scroll", role="region", aria_label=label, tabindex="0")


@cache
def _style() -> str:
    return files("mockexport.report").joinpath("style.css").read_text("utf-8")


@cache
def _script() -> str:
    return "".join(files("mockexport.report").joinpath(name).read_text("utf-8") for name in ("page.js", "charts.js"))


def policy(*, script: bool = False) -> str:
    """Return the page's Content-Security-Policy: its own style and script, and nothing else from nowhere."""
    own = f"default-src 'none'; style-src {_digest(_style())}; img-src data:; base-uri 'none'; form-action 'none'"
    return f"{own}; script-src {_digest(_script())}" if script else own


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def data_for_script(name: str, data: object) -> Markup:
    """Return data that the page's script reads; whatever it holds, it ends nowhere but here."""
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{name}">{text}</script>')


def page(title: str, *content: object, script: bool = False) -> str:
    """Return a page; with `script`, with what searches and sorts (page.js) and reads charts out (charts.js)."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(script=script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", shown(title)),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(_style())),
    )
    run = Markup(f"<script>{_script()}</script>") if script else None
    body = element("body", element("main", *content), run)
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
