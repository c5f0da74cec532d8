"""Test a client of your own against the mock server: what goes wrong is scripted, what it asked for is recorded."""

import asyncio
import hashlib

import aiohttp

import mockexport

SCRIPT = [
    {"export": "demo", "download": 1, "kind": "cut", "at": 100_000},
    {"export": "demo", "download": 2, "kind": "status", "status": 503, "retry_after": 0},
]


async def fetch(session: aiohttp.ClientSession, path: str) -> bytes:
    """The client to be tested: it asks again, and goes on where a body broke off while the content is the same."""
    body, tag = bytearray(), ""
    while True:
        headers = {"Range": f"bytes={len(body)}-", "If-Range": tag} if body else {}
        try:
            async with session.get(path, headers=headers) as reply:
                if reply.status == 503:
                    continue
                if reply.status != 206:
                    body.clear()
                    tag = reply.headers["ETag"]
                async for piece in reply.content.iter_any():
                    body += piece
                return bytes(body)
        except aiohttp.ClientPayloadError:
            pass


async def main() -> None:
    async with mockexport.MockServer(faults=SCRIPT) as server, aiohttp.ClientSession(server.url) as session:
        export = (await (await session.get("/api/export/demo")).json())["data"]
        for download_id in export["download_ids"]:
            path = f"/api/export/demo/{download_id}"
            metadata = (await (await session.get(path)).json())["data"]
            body = await fetch(session, f"{path}/data")
            rows = body.count(b"\n") - 1
            print(f"{download_id}: {rows == metadata['rows']}, SHA-256 {hashlib.sha256(body).hexdigest()[:12]}")
        for asked in server.requests:
            if asked.route == "data":
                print(asked.status, asked.range, f"{asked.sent_bytes:,} bytes", asked.fault and asked.fault.kind)


if __name__ == "__main__":
    asyncio.run(main())
