"""Commands that Tender sends itself: a row of the outbox, written in the transaction of its cause."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from events import ids
from services.commands import Actor, encode
from services.store.protocol import OutboxCommand


def outbox_command(
    command: object,
    key: str,
    *,
    tenant: str,
    account_id: str,
    actor: Actor,
    meta: bytes,
    due_at: datetime,
    short: Any = None,
) -> OutboxCommand:
    """`key` is its identity, for its tenant and type: who sends it again sends the same command.

    `account_id` is the account, or the tenant-level home; `short` as in `encode`.
    """
    type, body = encode(
        command, tenant=tenant, account_id=account_id, actor=actor, idempotency_key=key, short=short
    )
    command_id, home = ids.command_id(tenant, type, key), ids.home(tenant, account_id)
    return OutboxCommand(command_id, home, type, body, meta, due_at)
