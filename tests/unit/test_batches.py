"""A batch decides what its commands, one by one, would have decided."""

from __future__ import annotations

import re
from typing import Any

import pytest

from services.commands import Command
from services.handler import Handler
from services.store.memory import MemoryStore
from services.subjects import SUBJECTS
from tests.simulation.dictation import command_of, dictation
from tests.spec import Spec

COMMANDS = 250
NUMBER = re.compile(rb'"(number|merchant_reference|reference_id|invoice_number|request_digest)":"[^"]*"')
"""What numbers leave in facts: they may have gaps, where a decision was made anew with more at hand."""


async def stream_of(seed: int) -> list[Command]:
    tenant, users = await dictation(seed, COMMANDS)
    return [command_of(said) for said in (*tenant, *users)]


async def decided(commands: list[Command], size: int, forgetful: bool = False) -> list[tuple[Any, ...]]:
    clock = Spec()
    store = MemoryStore(now=clock.now)
    handler = Handler(store, SUBJECTS, clock)
    for begin in range(0, len(commands), size):
        if forgetful:
            handler.cache.clear()
        await handler.handle(commands[begin : begin + size])
    log = await store.read(0, 1_000_000)
    return [
        (e.position, e.stream, e.version, e.topic, NUMBER.sub(b"", e.data), e.command_id, e.last_of_command)
        for e in log
    ]


@pytest.mark.parametrize("seed", range(6))
async def test_a_batch_is_its_commands_one_by_one(seed: int) -> None:
    commands = await stream_of(seed)
    one_by_one = await decided(commands, 1)
    assert await decided(commands, 40) == one_by_one
    assert await decided(commands, len(commands)) == one_by_one
    assert await decided(commands, 40, forgetful=True) == one_by_one
