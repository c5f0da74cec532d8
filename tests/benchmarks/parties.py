"""One measured run of one party: `python -m tests.benchmarks.parties PARTY ARGUMENT…` prints its seconds as JSON.

Each computes what our report holds, per patient and event type, at its best setting, timed after its imports.
"""

import asyncio
import importlib
import json
import resource
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CONCURRENCY = 4
RULES = {"heart_rate": (40, 180), "spo2": (85, 100), "bp_sys": (90, 200), "bp_dia": (60, 120)}


def ours(url: str, export_id: str, engine: Any = "auto") -> dict[str, float]:
    """`analyze`, over HTTP."""
    from mockexport import analyze

    importlib.import_module("aiohttp")

    async def main() -> dict[str, float]:
        before, start = cpu_s(), time.perf_counter()
        report = await analyze(export_id, url=url, engine=engine)
        report.to_json()
        seconds = time.perf_counter() - start
        spent_s = cpu_s() - before
        if report.incomplete:
            raise RuntimeError("the report is incomplete")
        received = sum(download.received_bytes for download in report.account.downloads)
        return {"seconds": seconds, "rows": report.account.rows, "bytes": received, "cpu_s": spent_s}

    return asyncio.run(main())


def cpu_s() -> float:
    """The CPU time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def folder(path: str) -> dict[str, float]:
    """`analyze`, of a folder of files without a listing; `json_s` are the seconds until its JSON is in a file."""
    from mockexport import analyze

    async def main() -> dict[str, float]:
        before, start = cpu_s(), time.perf_counter()
        report = await analyze(folder=path)
        seconds, spent_s = time.perf_counter() - start, cpu_s() - before
        with tempfile.TemporaryFile("w") as file:
            file.writelines(report.json_pieces())
        json_s = time.perf_counter() - start - seconds
        return {"seconds": seconds, "rows": report.account.rows, "cpu_s": spent_s, "json_s": json_s}

    return asyncio.run(main())


def listed(urls: str) -> dict[str, float]:
    """`analyze`, of a list of URLs."""
    from mockexport import analyze

    importlib.import_module("aiohttp")

    async def main() -> dict[str, float]:
        start = time.perf_counter()
        report = await analyze(urls=urls)
        return {"seconds": time.perf_counter() - start, "rows": report.account.rows}

    return asyncio.run(main())


def kernel_alone(path: str) -> dict[str, float]:
    """The kernel's CPU time for the files, in one thread, the bytes in memory and cut already."""
    from mockexport.engine.choosing import choose_engine
    from mockexport.formats import Cutter
    from mockexport.formats.schema import Schema
    from mockexport.model import Span
    from mockexport.reducers import Summary

    engine = choose_engine(Summary(), Schema(), wanted="kernel")
    spent_s, start = 0.0, time.perf_counter()
    for file in sorted(Path(path).glob("*.csv")):
        fold, cutter = engine.new_fold(Span(file.name)), Cutter(Span(file.name), 512 * 1024)
        with file.open("rb", buffering=0) as opened:
            while piece := opened.read(512 * 1024):
                for chunk in cutter.feed(piece):
                    before = time.thread_time()
                    fold.feed(chunk)
                    spent_s += time.thread_time() - before
        for chunk in cutter.finish():
            fold.feed(chunk)
    return {"seconds": time.perf_counter() - start, "cpu_s": spent_s}


def decompressing(path: str) -> dict[str, float]:
    """The files decompressed by the library that we use and dropped, by two threads."""
    from mockexport.model import SizeLimits
    from mockexport.unpacking.compression import Decoder
    from mockexport.unpacking.gunzip import Gunzip
    from mockexport.unpacking.unzstd import Unzstd, ZstdLimits

    def one(file: Path) -> None:
        decoder: Decoder = Gunzip() if file.suffix == ".gz" else Unzstd(ZstdLimits.of(SizeLimits()))
        with file.open("rb", buffering=0) as opened:
            while piece := opened.read(256 * 1024):
                for _ in decoder.feed(piece):
                    pass
        decoder.finish()

    start = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(one, [file for file in sorted(Path(path).iterdir()) if file.suffix in (".gz", ".zst")]))
    return {"seconds": time.perf_counter() - start}


def raw(url: str, export_id: str) -> dict[str, float]:
    """The same bytes read from sockets and dropped, by as many threads as we have downloads in flight."""
    parts = urlsplit(url)
    ids = download_ids(url, export_id)

    def work() -> None:
        buffer = bytearray(256 * 1024)
        while True:
            try:
                download_id = ids.pop()
            except IndexError:
                return
            with socket.create_connection((parts.hostname or "", parts.port or 80)) as connection:
                path = f"/api/export/{export_id}/{download_id}/data"
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                while connection.recv_into(buffer):
                    pass

    before, start = cpu_s(), time.perf_counter()
    threads = [threading.Thread(target=work) for _ in range(CONCURRENCY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": time.perf_counter() - start, "cpu_s": cpu_s() - before}


def plain_aiohttp(url: str, export_id: str) -> dict[str, float]:
    """The same bytes read by aiohttp and dropped."""
    aiohttp = importlib.import_module("aiohttp")
    ids = download_ids(url, export_id)

    async def main() -> dict[str, float]:
        before, start = cpu_s(), time.perf_counter()
        async with aiohttp.ClientSession() as session:

            async def work() -> None:
                while ids:
                    async with session.get(f"{url}/api/export/{export_id}/{ids.pop()}/data") as response:
                        async for _ in response.content.iter_any():
                            pass

            await asyncio.gather(*[work() for _ in range(CONCURRENCY)])
        return {"seconds": time.perf_counter() - start, "cpu_s": cpu_s() - before}

    return asyncio.run(main())


def duckdb(path: str) -> dict[str, float]:
    """DuckDB on local files: columns given, two threads."""
    module: Any = importlib.import_module("duckdb")
    files = [str(file) for file in sorted(Path(path).glob("*.csv"))]
    anomalous = " OR ".join(
        f"(event_type = '{n}' AND (value < {low} OR value > {high}))" for n, (low, high) in RULES.items()
    )
    connection = module.connect(config={"threads": 2})
    start = time.perf_counter()
    connection.execute(
        f"""
        SELECT patient_id, event_type, count(*), avg(value), min(value), max(value),
               count(*) FILTER ({anomalous}), min(event_time), max(event_time)
        FROM read_csv(?, header = true, auto_detect = false, delim = ',', quote = '', escape = '',
             columns = {{'patient_id': 'VARCHAR', 'event_time': 'TIMESTAMP',
                         'event_type': 'VARCHAR', 'value': 'DOUBLE'}})
        GROUP BY ALL
        """,  # noqa: S608 - our own names and numbers
        [files],
    ).fetchall()
    return {"seconds": time.perf_counter() - start}


def polars(url: str, export_id: str) -> dict[str, float]:
    """Polars over HTTP: lazily, all downloads in one query."""
    pl: Any = importlib.import_module("polars")
    urls = [f"{url}/api/export/{export_id}/{download_id}/data" for download_id in download_ids(url, export_id)]
    schema = {"patient_id": pl.String, "event_time": pl.String, "event_type": pl.String, "value": pl.Float64}
    value = pl.col("value")
    anomalous = pl.lit(False)
    for name, (low, high) in RULES.items():
        anomalous = anomalous | ((pl.col("event_type") == name) & ((value < low) | (value > high)))
    start = time.perf_counter()
    (
        pl.scan_csv(urls, schema=schema)
        .group_by("patient_id", "event_type")
        .agg(
            pl.len(),
            value.mean(),
            value.min().alias("min"),
            value.max().alias("max"),
            anomalous.sum().alias("anomalies"),
            # Texts of one form sort as times do: no need to parse more than two a group.
            pl.col("event_time").min().alias("first"),
            pl.col("event_time").max().alias("last"),
        )
        .collect(engine="streaming")
    )
    return {"seconds": time.perf_counter() - start}


def download_ids(url: str, export_id: str) -> list[str]:
    with urllib.request.urlopen(f"{url}/api/export/{export_id}") as reply:
        ids: list[str] = json.load(reply)["data"]["download_ids"]
        return ids


PARTIES = {
    party.__name__: party
    for party in (ours, folder, listed, raw, plain_aiohttp, kernel_alone, decompressing, duckdb, polars)
}

if __name__ == "__main__":
    print(json.dumps(PARTIES[sys.argv[1]](*sys.argv[2:])))
