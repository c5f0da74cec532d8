"""Listen to a run: one typed stream of events tells all that happens."""

import asyncio

import mockexport
from mockexport.events import DownloadFinished, Event, RunFinished


def listen(event: Event) -> None:
    match event:
        case DownloadFinished(download_id, verdict, received_bytes, rows):
            print(f"{download_id}: {verdict}, {rows:,} rows in {received_bytes:,} bytes")
        case RunFinished(export_id, elapsed_s):
            print(f"{export_id} took {elapsed_s:.1f} s")
        case _:
            pass


async def main() -> None:
    async with mockexport.MockServer() as server:
        await mockexport.analyze("demo", url=server.url, listener=listen)


if __name__ == "__main__":
    asyncio.run(main())
