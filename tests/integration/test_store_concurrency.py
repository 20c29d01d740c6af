"""Many writers, one tailing reader: nothing skipped, nothing out of order, no half commands."""

from __future__ import annotations

import asyncio
import os
import random

from services.store.postgres import PostgresStore
from services.store.protocol import Batch, ReadSetMoved, StoreUnavailable, VerdictExists
from tests.batches import command, joined
from tests.fixtures.keys import KEYS

WRITERS = 32
EVENTS = 1_000_000 if os.environ.get("TENDER_TEST_FULL") else 60_000


async def test_a_reader_that_tails_concurrent_writers_misses_nothing(database_url: str) -> None:
    writers = await PostgresStore.connect(database_url, keys=KEYS, connections_max=WRITERS)
    reader = await PostgresStore.connect(database_url, keys=KEYS)
    tailing = asyncio.create_task(_tail(reader, EVENTS))
    try:
        await asyncio.gather(*(_write(writers, n, EVENTS // WRITERS) for n in range(WRITERS)))
        async with asyncio.timeout(120):
            seen = await tailing
    finally:
        tailing.cancel()
        await writers.close()
        await reader.close()
    assert seen >= EVENTS


async def _write(store: PostgresStore, writer: int, events: int) -> None:
    chosen, written = random.Random(writer), 0
    while written < events:
        sizes = [chosen.randint(1, 7) for _ in range(60)]
        known, _ = await store.head()
        commands = [
            command([(f"t/w{writer}-{written}-{n}-{i}", 1) for i in range(size)], known_position=known)
            for n, size in enumerate(sizes)
        ]
        await _surely(store, joined(*commands))
        written += sum(sizes)


async def _surely(store: PostgresStore, batch: Batch) -> None:
    """Again when the store was too busy to answer; what was written after all is known by its verdicts."""
    while True:
        try:
            await store.commit(batch)
            return
        except VerdictExists:
            return
        except StoreUnavailable:
            await asyncio.sleep(0.1)


async def _tail(store: PostgresStore, events: int) -> int:
    seen = 0
    async for _ in store.wakeups():
        while rows := await store.read(seen, 997):
            assert [row.position for row in rows] == list(range(seen + 1, seen + 1 + len(rows)))
            assert rows[-1].last_of_command
            seen = rows[-1].position
        if seen >= events:
            return seen
    return seen


async def test_two_writers_of_one_stream_never_both_win(database_url: str) -> None:
    stores = [await PostgresStore.connect(database_url, keys=KEYS) for _ in range(4)]
    won = 0

    async def race(store: PostgresStore) -> None:
        nonlocal won
        for _ in range(40):
            position, loaded = await store.load(["t/hot-1"])
            version = len(loaded["t/hot-1"]) + 1
            try:
                await store.commit(command([("t/hot-1", version)], known_position=position))
                won += 1
            except ReadSetMoved:
                pass

    try:
        await asyncio.gather(*(race(store) for store in stores))
        events = await stores[0].read_stream("t/hot-1")
    finally:
        for store in stores:
            await store.close()
    assert [event.version for event in events] == list(range(1, won + 1))
    assert 40 <= won < 160
