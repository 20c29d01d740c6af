"""Sends the stream from a process of its own, so that whoever is measured shares none with the sender."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer

from services.bench.stream import Made, measured
from services.messages import Message
from services.relay import KafkaPublisher
from services.running import loop
from services.running.supervisor import module_command

CHUNK = 2_000


async def send(publisher: KafkaPublisher, stream: Sequence[Made], topic: str) -> None:
    """Put commands on a topic, as fast as it takes them."""
    for begin in range(0, len(stream), CHUNK):
        part = stream[begin : begin + CHUNK]
        await publisher.publish([Message(topic, m.key, m.body, [("ce_type", m.type)]) for m in part])


@asynccontextmanager
async def sender(servers: str, topic: str, hundreds: int, accounts: int) -> AsyncIterator[Callable[[], None]]:
    """A process that has made the stream; once this is called, it sends all of it."""
    process = await asyncio.create_subprocess_exec(
        *module_command("services.bench.sender", servers, topic, str(hundreds), str(accounts)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    try:
        yield lambda: process.stdin.write(b"go\n") if process.stdin else None
    finally:
        process.stdin.close()
        await process.wait()


async def _main(servers: str, topic: str, hundreds: int, accounts: int) -> None:
    stream = list(measured(hundreds, accounts))
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=False) as producer:
        print("ready", flush=True)
        if await asyncio.to_thread(sys.stdin.readline):
            await send(KafkaPublisher(producer), stream, topic)


if __name__ == "__main__":
    loop.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
