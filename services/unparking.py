"""What a person does about parked commands: let them be decided anew, or give one up.

Releasing takes a key's commands in their order, until the key is free or one of them fails again.
"""

from __future__ import annotations

from uuid import UUID

import orjson
from pydantic import TypeAdapter

from events import ids
from events.operations import ParkedCommandDropped
from services.attempt import ACTOR_HEADER
from services.clock import Clock
from services.commands import Actor, Command, decode
from services.errors import Rejected, Undecodable
from services.handler import Handler
from services.store.protocol import Batch, NewEvent, NewVerdict, ParkedCommand, Store
from services.tenants.parking import Parked

_ACTOR = TypeAdapter(Actor)


def command_of(parked: ParkedCommand) -> Command:
    """Raises `Undecodable` for one that Tender sent and this version cannot read."""
    actor = dict(parked.headers).get(ACTOR_HEADER)
    trust = None if actor is None else lambda _: _ACTOR.validate_json(actor)
    return decode(parked.type, parked.body, ce_id=str(parked.command_id), trust=trust)


async def release(store: Store, handler: Handler, home: str) -> int:
    """Decide the commands of a parked key anew, in order; how many were decided."""
    decided = 0
    while waiting := await store.parked_commands(home):
        try:
            command = command_of(waiting[0])
        except Undecodable:  # this version cannot read it either
            break
        answer = (await handler.handle([command], unparking=home))[0]
        if answer.status == "PARKED":
            break
        decided += 1
    return decided


async def drop(store: Store, clock: Clock, home: str, command_id: UUID, actor: Actor, reason: str) -> None:
    """Give a parked command up: its verdict becomes a rejection, and who did it is an event."""
    waiting = {parked.command_id: parked for parked in await store.parked_commands(home)}
    if command_id not in waiting:
        raise Rejected("COMMAND_NOT_FOUND", f"no command {command_id} is parked under {home}")
    parked, tenant = waiting[command_id], home.partition("/")[0]
    known = (await store.verdicts([command_id]))[command_id]
    meta = orjson.dumps({"actor": actor, "correlation_id": str(command_id)})
    stream = ids.stream(tenant, Parked.KIND, str(command_id))
    fact = ParkedCommandDropped(command_id, parked.type, reason)
    outcome = orjson.dumps({"code": "PARKED", "message": f"dropped by {actor.id}: {reason}", "details": {}})
    event = NewEvent(stream, 1, fact, home, command_id, meta, clock.now(), last_of_command=True)
    verdict = NewVerdict(command_id, home, parked.type, known.fingerprint, "REJECTED", outcome, 1, meta)
    position, _ = await store.head()
    await store.commit(
        Batch(events=[event], verdicts=[verdict], unparked=[command_id], known_position=position)
    )
