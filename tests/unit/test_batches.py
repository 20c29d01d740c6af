"""A batch decides what its commands, one by one, would have decided."""

from __future__ import annotations

from typing import Any

import pytest

from services.commands import Actor, Command, decode, encode
from services.handler import Handler
from services.store.memory import MemoryStore
from services.subjects import SUBJECTS
from tests.simulation.workload import TENANT, Users, setup
from tests.spec import Spec

COMMANDS = 250


def stream_of(seed: int) -> list[Command]:
    said = [*setup(), *Users(seed).commands(COMMANDS)]
    return [a_command(command, account, key) for command, account, key in said]


def a_command(command: object, account: str, key: str) -> Command:
    type, body = encode(
        command, tenant=TENANT, account_id=account, actor=Actor("USER", "t"), idempotency_key=key
    )
    return decode(type, body)


async def decided(commands: list[Command], size: int, forgetful: bool = False) -> list[tuple[Any, ...]]:
    clock = Spec()
    store = MemoryStore(now=clock.now)
    handler = Handler(store, SUBJECTS, clock)
    for begin in range(0, len(commands), size):
        if forgetful:
            handler.cache.clear()
        await handler.handle(commands[begin : begin + size])
    log = await store.read(0, 1_000_000)
    return [(e.position, e.stream, e.version, e.topic, e.data, e.command_id, e.last_of_command) for e in log]


@pytest.mark.parametrize("seed", range(6))
async def test_a_batch_is_its_commands_one_by_one(seed: int) -> None:
    commands = stream_of(seed)
    one_by_one = await decided(commands, 1)
    assert await decided(commands, 40) == one_by_one
    assert await decided(commands, len(commands)) == one_by_one
    assert await decided(commands, 40, forgetful=True) == one_by_one
