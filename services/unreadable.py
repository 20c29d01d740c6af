"""Commands that Tender itself has sent, and that this version of it cannot read.

Such a command is no dead letter, for its sender would send it for ever: it waits, parked, for a version that
can read it, or for a person.  Whose it is, and what it is called, its seal vouches for.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson

from events.card_numbers import masked_bytes
from services.commands import ANONYMOUS, Command, canonical_fingerprint, fingerprint
from services.errors import Undecodable


def unreadable(type: str, command_id: UUID, home: str, value: bytes, why: Undecodable) -> Command:
    """A command whose `data` says why it cannot be read; who sent it is read when it can be."""
    tenant, _, account_id = home.partition("/")
    return Command(
        command_id,
        type,
        tenant,
        account_id,
        why,
        _mark(tenant, type, value),
        ANONYMOUS,
        orjson.dumps({"correlation_id": str(command_id)}),
        None,
        None,
        False,
        masked_bytes(value) if why.code == "CARD_DATA_FORBIDDEN" else value,
        home,
    )


def _mark(tenant: str, type: str, value: bytes) -> bytes:
    """The fingerprint that whoever can read it will find, so that it is the same command then."""
    try:
        sent: Any = orjson.loads(value)
        return fingerprint(tenant, type, sent["data"])
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError, LookupError):
        return canonical_fingerprint(tenant, type, value)
