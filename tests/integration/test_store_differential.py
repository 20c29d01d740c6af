"""Random batches, given to PostgreSQL and to memory: the same answers to everything, conflicts too."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from eventsourcing.persistence import IntegrityError

from services.store.memory import MemoryStore
from services.store.postgres import PostgresStore
from services.store.protocol import Batch, DocumentChange, OffsetMove, Store, StoreConflict, Tracking
from tests.batches import NOW, command, joined
from tests.fixtures.keys import KEYS

HOMES = ("t/a", "t/b", "t/c")


@pytest.mark.parametrize("seed", range(6))
async def test_the_two_stores_agree(seed: int, database_url: str) -> None:
    postgres, memory = await PostgresStore.connect(database_url, keys=KEYS), MemoryStore(now=lambda: NOW)
    chosen = random.Random(seed)
    conflicts = 0
    try:
        for _ in range(120):
            batch = _batch(chosen, (await memory.head())[0])
            told = await _tried(memory, batch), await _tried(postgres, batch)
            assert told[0] == told[1]
            conflicts += isinstance(told[0], str)
        assert await _everything(memory) == await _everything(postgres)
    finally:
        await postgres.close()
    assert conflicts > 5


def _batch(chosen: random.Random, head: int) -> Batch:
    known = max(0, head - chosen.choice((0, 0, 0, 1, 3)))
    commands = [_command(chosen, known) for _ in range(chosen.randint(0, 4))]
    batch = joined(*commands) if commands else Batch(known_position=known)
    if chosen.random() < 0.2:
        batch.offsets = [
            OffsetMove("c", "t", chosen.randint(0, 1), chosen.choice((None, 5, 9)), chosen.choice((5, 9)))
        ]
    if chosen.random() < 0.2:
        batch.tracking = [Tracking("x", chosen.choice((0, 5)), chosen.choice((5, 7)))]
    return batch


def _command(chosen: random.Random, known: int) -> Batch:
    home, writes = chosen.choice(HOMES), dict[str, int]()
    for _ in range(chosen.randint(0, 3)):
        stream = f"{home}-{chosen.randint(1, 6)}"
        writes[stream] = chosen.choice((1, 1, 2, 3))
    id = UUID(int=chosen.randint(1, 400))
    documents = [DocumentChange(home, stream, chosen.random() < 0.6) for stream in writes]
    reads = [f"{chosen.choice(HOMES)}-{chosen.randint(1, 6)}"]
    return command(
        writes.items(), home=home, command_id=id, known_position=known, reads=reads, documents=documents
    )


async def _tried(store: Store, batch: Batch) -> object:
    try:
        return await store.commit(batch)
    except (StoreConflict, IntegrityError) as conflict:
        return type(conflict).__name__


async def _everything(store: Store) -> object:
    events = [event._replace(recorded_at=NOW) for event in await store.read(0, 10_000)]
    verdicts = [verdict._replace(recorded_at=NOW) for verdict in await store.read_verdicts(0, 10_000)]
    offsets = [await store.offset("c", "t", partition) for partition in range(2)]
    documents = await store.open_documents(HOMES)
    return events, verdicts, offsets, documents, await store.tracking("x"), await store.head()
