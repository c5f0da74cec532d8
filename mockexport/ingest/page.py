"""The pages for people, `/` and `/docs`: a file each, no build step, nothing fetched from elsewhere.

Their markup is in `page.html` and `docs.html`. They hold no data and ask for it with the token that they are given: so
who has none may see them, as the body of the 401 that the request for them is answered.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from fastapi import Response

__all__ = ["PAGES", "page_reply"]

# By their paths.
PAGES: Mapping[str, str] = MappingProxyType({"/": "page.html", "/docs": "docs.html"})


def page_reply(path: str, status: int = 200, challenge: str | None = None) -> Response:
    """Return the page at a path of `PAGES`, with a policy that lets nothing run or load but what its file holds."""
    html = files("mockexport.ingest").joinpath(PAGES[path]).read_text("utf-8")
    allowed = [f"{element}-src {' '.join(_hashes(html, element))}" for element in ("script", "style")]
    policy = [
        "default-src 'none'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        *allowed,
    ]
    headers = {
        "content-security-policy": "; ".join(policy),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    if challenge is not None:
        headers["www-authenticate"] = challenge
    return Response(html, status, media_type="text/html; charset=utf-8", headers=headers)


def _hashes(html: str, element: str) -> list[str]:
    found = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in found)
    return [f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests]
