"""Plays the devices, and checks afterwards: every acknowledged reading counts exactly once and was visible at once.

A reading counts once if its minute shows it, so the play is laid out for that to be seen through the public GET alone:
the readings of one minute, one user and one device have different rates, and after the run each minute's average, which
is exact, must be that of precisely the acknowledged readings. A single one lost or counted twice would move it.

    lost      an acknowledged reading that a minute lacks (or a whole minute that is missing)
    stale     a reading that a GET begun after its 202 did not show
    doubled   a minute that can only be explained by a reading counted twice, or by one never sent
    undeleted a reading that is shown although its deletion was acknowledged (`delete`)
"""

import asyncio
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import aiohttp
import msgspec

from mockexport.ingest.readings import MINUTE_US, Reading

__all__ = ["Account", "Played", "explain", "plan", "play", "time_text", "verify"]

# One device reports this often, so a minute of one device has at most twelve readings.
_STEP_US = 5 * 10**6
# How long a request that got no answer, or a 503, is tried again; the service may be restarting meanwhile.
_PATIENCE_S = 60.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Account:
    """What came of a run. `problems` says in words what `lost`, `stale` and `doubled` count."""

    sent: int = 0
    accepted: int = 0
    repeated: int = 0
    retried: int = 0
    checked_minutes: int = 0
    checked_visible: int = 0
    lost: int = 0
    stale: int = 0
    doubled: int = 0
    undeleted: int = 0
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether the service kept its promise."""
        return self.lost == self.stale == self.doubled == self.undeleted == 0

    def percentile_ms(self, share: float) -> float:
        """Return a percentile of the time from a request to its 202, in milliseconds."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True, slots=True)
class Played:
    """One step of the play: readings that one request carries (one, or a burst as a batch)."""

    readings: tuple[Reading, ...]


def time_text(time_us: int) -> str:
    """Return a time as the API prints it."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def plan(
    count: int,
    seed: int,
    *,
    users: int = 8,
    devices: Sequence[str] = ("device_a", "device_b"),
    start_us: int | None = None,
) -> list[Played]:
    """Lay out a play of `count` readings. The same arguments give the same play.

    Several users with several devices each; a tenth of the readings in bursts, as batches; a fifth late by up to some
    hundred places; one in twenty sent twice.
    """
    draw = random.Random(seed)  # noqa: S311 - a play, no secret
    if start_us is None:
        start_us = 1_705_312_800 * 10**6
    names = [f"user_{number:03d}" for number in range(users)]
    readings = []
    lanes = [(user, device) for user in names for device in devices]
    for index in range(count):
        user, device = lanes[index % len(lanes)]
        step = index // len(lanes)
        # Distinct rates within a minute, so that losing or doubling any one moves the minute's average.
        rate = 50 + (step % 12) * (step % 12 + 1) // 2 + draw.randrange(20)
        readings.append(Reading(user, device, start_us + step * _STEP_US + draw.randrange(_STEP_US), rate))
    order = [index + (draw.randrange(300) if draw.random() < 0.2 else 0) for index in range(count)]
    late = [reading for _, reading in sorted(zip(order, readings, strict=True), key=lambda pair: pair[0])]
    steps: list[Played] = []
    position = 0
    while position < len(late):
        size = draw.randrange(5, 40) if draw.random() < 0.005 else 1
        steps.append(Played(tuple(late[position : position + size])))
        if draw.random() < 0.05:
            steps.append(steps[draw.randrange(max(0, len(steps) - 50), len(steps))])
        position += size
    return steps


def body(reading: Reading) -> dict[str, object]:
    """Return a reading as the API takes it."""
    return {
        "device_id": reading.device_id,
        "user_id": reading.user_id,
        "timestamp": time_text(reading.time_us),
        "heart_rate": reading.heart_rate,
    }


class _Device:
    """Sends, and sends again until there is a 202: anything else means that the reading may not be stored."""

    def __init__(self, session: aiohttp.ClientSession, url: str, account: Account) -> None:
        self._session, self._url, self._account = session, url.rstrip("/"), account

    async def send(self, step: Played) -> None:
        if len(step.readings) == 1:
            path, document = "/metrics/heart-rate", body(step.readings[0])
        else:
            path, document = "/metrics/heart-rate/batch", {"readings": [body(each) for each in step.readings]}
        data = msgspec.json.encode(document)
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            began = time.perf_counter()
            try:
                async with self._session.post(self._url + path, data=data, headers=_JSON) as reply:
                    answer = await reply.read()
                    if reply.status == 202:
                        self._account.latencies_s.append(time.perf_counter() - began)
                        self._account.accepted += len(step.readings)
                        return
                    if reply.status != 503:
                        raise AssertionError(f"status {reply.status} for a valid reading: {answer[:200]!r}")
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                pass  # no answer is no promise either
            if time.monotonic() > give_up:
                raise TimeoutError(f"no 202 within {_PATIENCE_S:g} s")
            self._account.retried += 1
            await asyncio.sleep(0.05)

    async def minutes(self, user: str, device: str, first_us: int, last_us: int) -> Mapping[str, float]:
        query = {"user_id": user, "device_id": device, "start": time_text(first_us), "end": time_text(last_us)}
        give_up = time.monotonic() + _PATIENCE_S
        while True:
            try:
                async with self._session.get(f"{self._url}/metrics/heart-rate", params=query) as reply:
                    if reply.status == 404:
                        return {}
                    if reply.status == 200:
                        found = msgspec.json.decode(await reply.read())
                        return {entry["timestamp"]: entry["heart_rate"] for entry in found["data"]}
                    if reply.status != 503:
                        raise AssertionError(f"status {reply.status} for a valid query")
                    said = str(await reply.read())
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                said = repr(error)
            if time.monotonic() > give_up:
                raise TimeoutError(f"no answer to a query within {_PATIENCE_S:g} s, but at last {said}")
            await asyncio.sleep(0.05)


_JSON = {"content-type": "application/json"}


async def play(
    url: str,
    steps: Sequence[Played],
    *,
    rate: float | None = None,
    at_once: int = 16,
    look_every: int = 50,
    account: Account | None = None,
) -> Account:
    """Send the steps to a service and return the account, with what was stale. `verify` does the rest.

    Args:
        url: where the service is.
        steps: the play.
        rate: readings per second; None is as fast as it goes.
        at_once: requests in flight.
        look_every: the number of its steps after which a sender asks for the reading it was just promised.
        account: one to continue; None begins another.
    """
    account = Account() if account is None else account
    account.sent += sum(len(step.readings) for step in steps)
    account.repeated += account.sent - len({reading for step in steps for reading in step.readings})
    began = time.perf_counter()
    timeout = aiohttp.ClientTimeout(total=30)
    connector = aiohttp.TCPConnector(limit=at_once)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        device = _Device(session, url, account)
        work = iter(enumerate(_due(steps, rate)))

        async def sender() -> None:
            for index, (due_s, step) in work:
                wait = began + due_s - time.perf_counter()
                if wait > 0:
                    await asyncio.sleep(wait)
                await device.send(step)
                if look_every and index % look_every == 0:
                    reading = step.readings[-1]
                    seen = await device.minutes(reading.user_id, reading.device_id, reading.time_us, reading.time_us)
                    account.checked_visible += 1
                    if list(seen.values()) != [reading.heart_rate]:
                        account.stale += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(sender())
    account.seconds += time.perf_counter() - began
    return account


def _due(steps: Iterable[Played], rate: float | None) -> Iterable[tuple[float, Played]]:
    sent = 0
    for step in steps:
        yield (0.0 if rate is None else sent / rate), step
        sent += len(step.readings)


async def verify(url: str, readings: Iterable[Reading], account: Account) -> Account:
    """Hold what the service answers against the acknowledged readings, minute by minute; add to the account."""
    lanes: dict[tuple[str, str], dict[int, int]] = {}
    for reading in readings:
        lanes.setdefault((reading.user_id, reading.device_id), {})[reading.time_us] = reading.heart_rate
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        device = _Device(session, url, account)
        for (user, name), rates in lanes.items():
            minutes: dict[int, list[int]] = {}
            for time_us, rate in rates.items():
                minutes.setdefault(time_us // MINUTE_US, []).append(rate)
            seen = dict(await device.minutes(user, name, min(rates), max(rates)))
            for minute, expected in minutes.items():
                shown = seen.pop(time_text(minute * MINUTE_US), None)
                account.checked_minutes += 1
                lost, doubled = explain(expected, shown)
                account.lost += lost
                account.doubled += doubled
            # A minute in which nothing was measured.
            account.doubled += len(seen)
    return account


def explain(expected: Sequence[int], shown: float | None) -> tuple[int, int]:
    """Return (lost, doubled) of one minute: what was acknowledged in it, and the average that is shown. Pure.

    The simplest explanation of a wrong average is sought; none found counts as doubled, which is the graver charge.
    """
    if shown is None:
        return len(expected), 0
    total, count = sum(expected), len(expected)
    if shown == _mean(total, count):
        return 0, 0
    if any(count > 1 and shown == _mean(total - rate, count - 1) for rate in expected):
        return 1, 0
    return 0, 1


def _mean(total: int, count: int) -> float:
    return round(Fraction(total * 100, count)) / 100
