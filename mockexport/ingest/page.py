"""The page for people at `/`: one file, no build step, nothing fetched from elsewhere. The markup is in `page.html`."""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import Response

__all__ = ["page_reply"]


def page_reply() -> Response:
    """Return the page, with a policy that lets nothing run or load but what the file itself holds."""
    html = files("mockexport.ingest").joinpath("page.html").read_text("utf-8")
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
    return Response(html, media_type="text/html; charset=utf-8", headers=headers)


def _hashes(html: str, element: str) -> list[str]:
    found = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    digests = (hashlib.sha256(text.encode("utf-8")).digest() for text in found)
    return [f"'sha256-{base64.b64encode(digest).decode('ascii')}'" for digest in digests]
