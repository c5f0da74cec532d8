"""Play heart-rate devices against a running service, then check that it kept its promise.

    python -m mockexport ingest &
    python examples/generate_data.py                        10,000 readings over two minutes
    python examples/generate_data.py --max 100000 --rate 3000

Ends with exit code 0 if lost = stale = doubled = 0, else with 1.
"""

import argparse
import asyncio
import urllib.request

from mockexport.ingest.devices import Account, plan, play, verify


async def run(url: str, count: int, rate: float, seed: int, users: int, at_once: int) -> Account:
    steps = plan(count, seed, users=users)
    account = await play(url, steps, rate=rate or None, at_once=at_once)
    return await verify(url, [reading for step in steps for reading in step.readings], account)


def main() -> int:
    parser = argparse.ArgumentParser(description="Play heart-rate devices, then check that nothing was lost.")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="where the service is")
    parser.add_argument("--max", type=int, default=10_000, metavar="N", help="readings in all")
    parser.add_argument("--rate", type=float, default=10_000 / 120, help="readings per second; 0 is as fast as it goes")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plays the same readings")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--connections", type=int, default=16, help="requests in flight")
    options = parser.parse_args()
    try:
        urllib.request.urlopen(f"{options.url}/health", timeout=10).close()  # noqa: S310 - the URL is the user's own
    except OSError as error:
        parser.exit(1, f"no service at {options.url} ({error}); start one: python -m mockexport ingest\n")
    account = asyncio.run(run(options.url, options.max, options.rate, options.seed, options.users, options.connections))
    print(
        f"{account.accepted} readings accepted in {account.seconds:.1f} s"
        f" ({account.repeated} sent again, {account.retried} requests retried),"
        f" p50 {account.percentile_ms(0.5):.1f} ms, p99 {account.percentile_ms(0.99):.1f} ms"
    )
    print(
        f"checked {account.checked_minutes} minutes and {account.checked_visible} readings at once:"
        f" lost {account.lost}, stale {account.stale}, doubled {account.doubled}"
    )
    return 0 if account.right else 1


if __name__ == "__main__":
    raise SystemExit(main())
