"""Batches for tests of stores: small to say, whole in what they write."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from events.money import Money
from events.payment import PaymentCanceled
from services.store.protocol import Batch, NewEvent, NewVerdict

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def fact(amount: int = 100) -> PaymentCanceled:
    return PaymentCanceled(Money(amount, "USD"), "test")


def command(
    writes: Iterable[tuple[str, int]],
    *,
    home: str = "t/a",
    command_id: UUID | None = None,
    known_position: int = 0,
    reads: Iterable[str] = (),
    status: Any = "ACCEPTED",
    **more: Any,
) -> Batch:
    """One command that writes (stream, version) each, with its verdict."""
    id, written = command_id or uuid4(), list(writes)
    events = [
        NewEvent(stream, version, fact(), home, id, b"{}", NOW, n == len(written))
        for n, (stream, version) in enumerate(written, start=1)
    ]
    verdict = NewVerdict(
        id, home, "payments.test.v1", b"f" * 32, status, b'{"streams":{}}', len(events), b"{}"
    )
    read = {stream for stream, _ in written} | set(reads)
    return Batch(events=events, verdicts=[verdict], known_position=known_position, read_streams=read, **more)


def joined(*batches: Batch) -> Batch:
    """Several commands in one transaction."""
    whole = Batch(known_position=min(batch.known_position for batch in batches))
    for batch in batches:
        whole.events += batch.events
        whole.verdicts += batch.verdicts
        whole.read_streams |= batch.read_streams
    return whole
