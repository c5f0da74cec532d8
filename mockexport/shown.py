"""What may be shown: URLs without what is secret in them, and texts without what could steer a terminal. Pure.

A URL may hold a name and password, and its query a signature or a token: which of its parts are secret only its server
knows, so none of them is shown. A text from a server may be of any length, and hold anything.
"""

import re
import unicodedata

__all__ = ["discreet", "foreign", "given_url", "printable", "public_url", "quoted", "shown", "shown_list"]

# What a server may say in one of our sentences, in characters.
MAX_FOREIGN = 200
# How many of its names.
MAX_NAMES = 20

# The slash may be one: so a URL looks that was taken for a path. Another URL may follow without a space. The limit on a
# scheme's length keeps this linear.
_SCHEME = "[A-Za-z][A-Za-z0-9+.-]{1,31}:"
_URL = re.compile(rf"{_SCHEME}/\S+?(?={_SCHEME}//|\s|$)")
_PARTS = re.compile(rf"(?s)({_SCHEME}/+)([^/?#]*)(.*)")
_NO_PORT = re.compile(r"[^\[]*:.*[^0-9]")
# FHIR: `Patient/123`, wherever it stands.
_REFERENCE = re.compile(r"\b([A-Z][A-Za-z]{2,40}/|urn:uuid:)[A-Za-z0-9.\-]+")
_CLOSING = "'\",;:.)]}>"
# ECMA-48: control sequences (colours, the cursor), strings that end (titles, links), and other escapes.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)


def public_url(url: str) -> str:
    """Return `url` with `***` for its credentials, query and fragment; what is no URL, such as a path, as it is."""
    found = _PARTS.fullmatch(url)
    if found is None:
        return url
    scheme, authority, rest = found.groups()
    if "@" in authority:
        authority = f"***@{authority.rpartition('@')[2]}"
    elif "@" in rest and _NO_PORT.fullmatch(authority):  # a password that holds one of /?#
        _, authority, rest = _PARTS.fullmatch(f"{scheme}{rest.rpartition('@')[2]}").groups()  # type: ignore[union-attr]
        authority = f"***@{authority}"
    return f"{scheme}{authority}{_without_query(rest)}"


def given_url(text: str) -> str:
    """Return what was given for a URL and may be none: without all that stands before an @ or after a question mark."""
    scheme = re.match(f"{_SCHEME}//", text)
    kept = scheme[0] if scheme else ""
    _, at, rest = text[len(kept) :].rpartition("@")
    return f"{kept}{'***@' if at else ''}{_without_query(rest)}"


def _without_query(path: str) -> str:
    return re.sub(r"(?s)([?#]).+", r"\1***", path, count=1)


def printable(text: str) -> str:
    """Return `text` without what could steer a terminal or turn the writing direction; line ends become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        " " if character in "\r\n\t\u2028\u2029" else "" if unicodedata.category(character)[0] == "C" else character
        for character in _SEQUENCES.sub("", text)
    )


def shown(text: str) -> str:
    """Return a sentence of ours as a terminal or a log may have it, whatever has got into it."""
    return printable(_URL.sub(_public, text))


def _public(found: re.Match[str]) -> str:
    url = found[0].rstrip(_CLOSING)
    return public_url(url) + found[0][len(url) :]


def foreign(text: str) -> str:
    """Return what a server said as a part of a sentence: harmless for a terminal, and not longer than MAX_FOREIGN."""
    return printable(text if len(text) <= MAX_FOREIGN else f"{text[:MAX_FOREIGN]}…")


def discreet(text: str) -> str:
    """Return what a FHIR server said, as `foreign` does: without ids of resources, and of URLs only the origin."""
    without_urls = _URL.sub(lambda found: re.sub(r"(?s)(:/+[^/?#]*)(.*)", r"\1/***", public_url(found[0])), text)
    return foreign(_REFERENCE.sub(r"\1***", without_urls))


def quoted(text: str) -> str:
    """Return what a server gave for a name as a part of a sentence: in quotes and in ASCII, and not too long."""
    return ascii(text if len(text) <= MAX_FOREIGN else f"{text[:MAX_FOREIGN]}…")


def shown_list(names: tuple[str, ...]) -> str:
    """Return names that a server gave as a part of a sentence: some of them, if they are many, and how many more."""
    more = len(names) - MAX_NAMES
    return ", ".join(map(foreign, names[:MAX_NAMES])) + (f", and {more:,} more" if more > 0 else "")
