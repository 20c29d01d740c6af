"""API keys for tests: given through the door, as an operator gives them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

from services.access import api_key
from services.access.api_key import CreateApiKey
from services.commands import Actor, decode, encode
from services.handler import Handler
from services.signing_in import api_keys
from services.subjects import SUBJECTS
from tests.spec import NOW

PEPPER = b"pepper" * 5
_NUMBERS: Iterator[int] = count(1)


class _Clock:
    def now(self) -> Any:
        return NOW


def chance(size: int) -> bytes:
    """Other bytes each time."""
    return next(_NUMBERS).to_bytes(size)


async def give(store: Any, *roles: str, tenant: str = "t", actor_id: str = "ada", **more: Any) -> str:
    """The key, as it is shown once."""
    made = api_keys.make(tenant, PEPPER, chance)
    command = CreateApiKey(made.shown.key_id, "a test", actor_id, roles, made.salt, made.digest, **more)
    actor = Actor("USER", "operator", ("OPERATOR",))
    home = api_key.home(command, tenant)
    type, body = encode(command, tenant=tenant, account_id=home, actor=actor, idempotency_key=str(made.shown))
    answers = await Handler(store, SUBJECTS, _Clock()).handle([decode(type, body)])
    assert answers[0].status == "ACCEPTED", answers[0].outcome
    return str(made.shown)
