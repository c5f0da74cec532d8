"""Test a client of your own against the mock server: it runs inside your event loop, on a free port."""

import asyncio
import hashlib

import aiohttp

import mockexport


async def main() -> None:
    async with mockexport.MockServer() as server, aiohttp.ClientSession(server.url) as session:
        export = (await (await session.get("/api/export/demo")).json())["data"]
        for download_id in export["download_ids"]:
            path = f"/api/export/demo/{download_id}"
            metadata = (await (await session.get(path)).json())["data"]
            async with session.get(f"{path}/data", headers={"Range": "bytes=0-99"}) as response:
                print(response.status, response.headers["Content-Range"], response.headers["ETag"][:12])
            async with session.get(f"{path}/data") as response:
                body = await response.read()
            rows = body.count(b"\n") - 1
            print(f"{download_id}: {rows == metadata['rows']}, SHA-256 {hashlib.sha256(body).hexdigest()[:12]}")


if __name__ == "__main__":
    asyncio.run(main())
