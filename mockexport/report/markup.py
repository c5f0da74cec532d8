"""HTML that is escaped unless it says otherwise, and the frame and look that all pages share.

Rules: `element` escapes all text but what `element` and `page` have made, so nothing that comes from data is ever
markup. A page is one file: no script, no font, no picture from anywhere, and a policy that forbids them.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

__all__ = ["Markup", "element", "figure", "named", "page", "policy", "shown", "table"]

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
    """Return a figure for people: fractions with so many places, a dash for what there is not."""
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


def policy() -> str:
    """Return the page's Content-Security-Policy: its own style, and nothing else from nowhere."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"


def page(title: str, *content: object) -> str:
    """Return a page."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy()),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", shown(title)),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(_style())),
    )
    body = element("body", element("main", *content))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"
