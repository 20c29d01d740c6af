"""A denial on its way into the log: a command of Tender's own, beside the verdict of what was denied."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import orjson

from events import ids
from services.access import denial
from services.access.denial import RecordDenial
from services.commands import Actor, Command
from services.errors import Rejected
from services.outbox import outbox_command
from services.store.protocol import OutboxCommand

ACTOR = Actor("SYSTEM", "access")


def denial_of(command: Command, why: Rejected, now: datetime) -> OutboxCommand:
    """Of a command: told once, however often it comes."""
    id = UUID(ids.part_id(command.command_id, "denied"))
    account_id = None if command.account_id[0] == "~" else command.account_id
    who = command.actor
    told = RecordDenial(id, why.code, command.type, who, why.message, account_id, command.command_id)
    return to_record(command.tenant, told, now)


def to_record(tenant: str, told: RecordDenial, now: datetime) -> OutboxCommand:
    home, key = denial.home(told, tenant), f"denial:{told.denial_id}"
    meta = orjson.dumps({"correlation_id": str(told.denied_command or told.denial_id)})
    return outbox_command(told, key, tenant=tenant, account_id=home, actor=ACTOR, meta=meta, due_at=now)
