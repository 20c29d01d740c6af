"""The bus asks for records without a pause: what arrives while it waits is taken at once."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition
from faststream.kafka import KafkaBroker

from services.bus import WAIT_MS, CommandBus


class Consumer:
    """Answers with what it is given, one thing for each question."""

    def __init__(self, *answers: dict[TopicPartition, list[str]]) -> None:
        self.answers, self.asked = list(answers), list[dict[str, Any]]()

    async def getmany(self, **asked: Any) -> dict[TopicPartition, list[str]]:
        self.asked.append(asked)
        return self.answers.pop(0)


async def test_records_of_all_partitions_come_in_one_batch_and_none_is_no_pause() -> None:
    broker = KafkaBroker("localhost:1", apply_types=False, logger=None)
    bus = CommandBus(broker, ["commands"], group="g", batch_records_max=7)
    consumer = Consumer({}, {TopicPartition("commands", 0): ["a", "b"], TopicPartition("commands", 1): ["c"]})
    nothing = asyncio.ensure_future(bus._subscriber.get_msg(consumer))
    await asyncio.sleep(0)
    assert nothing.done(), "FastStream's own would sleep now"
    assert nothing.result() == ()
    assert await bus._subscriber.get_msg(consumer) == ("a", "b", "c")
    assert consumer.asked == [{"timeout_ms": WAIT_MS, "max_records": 7}] * 2
