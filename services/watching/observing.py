"""How a running Tender is: what every role has left in the store, read in one look.

A few short statements, whatever the log has grown to; `/metrics`, `/ready` and `tender doctor` ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from services.store.queries import load

_SQL = load("services", "observing.sql")
OVERDUE_SECONDS = 60.0
"""A gateway call that was due so long ago is not just waiting for its turn."""


class GatewayWork(NamedTuple):
    """Calls that wait for an answer: to be sent (`SEND`), or asked about (`INQUIRE`)."""

    waiting: int
    due: int
    under_way: int
    oldest_seconds: float


@dataclass(frozen=True)
class Status:
    events: int
    verdicts: int
    relayed_events: int
    relayed_results: int
    processed: int
    projected: int
    outbox_waiting: int
    outbox_due: int
    parked_keys: int
    parked_commands: int
    dead_letters: int
    gateway_work: Mapping[str, GatewayWork]
    leases: Mapping[str, bool]
    """Who of those that act one at a time is there."""
    exceptions: Mapping[str, int]
    """Open ones, by type."""
    notifications: Mapping[str, int]
    """Gateways' news, by what became of them."""

    @property
    def behind(self) -> dict[str, int]:
        """How far each follower is behind the log, in events."""
        return {
            "relay": self.events - self.relayed_events,
            "processes": self.events - self.processed,
            "projector": self.events - self.projected,
        }

    @property
    def gateway_overdue(self) -> int:
        return sum(work.due for work in self.gateway_work.values() if work.oldest_seconds > OVERDUE_SECONDS)


async def observe(connection: Any, now: datetime, cluster_id: str | None = None) -> Status:
    """`connection`: asyncpg's, or a pool.  Without a cluster, the relay's farthest place on any."""
    schema = await connection.fetchval("select active from read_models")
    row = await connection.fetchrow(_SQL["status"], cluster_id, now)
    work = await connection.fetch(_SQL["gateway_work"], now)
    return Status(
        **{name: value or 0 for name, value in row.items()},
        gateway_work={each["mode"]: GatewayWork(*tuple(each)[1:]) for each in work},
        leases={each["name"]: each["held"] for each in await connection.fetch(_SQL["leases"], now)},
        exceptions={
            each["type"]: each["open"]
            for each in await connection.fetch(_SQL["exceptions"].format(schema=schema))
        },
        notifications={
            each["status"]: each["kept"]
            for each in await connection.fetch(_SQL["notifications"].format(schema=schema))
        },
    )
