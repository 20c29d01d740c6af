"""What the `eventsourcing` tutorial would have: one message at a time, the library's own `Application`.

The same stream through FastStream's ordinary subscriber and publisher, aggregates in the library's
style on its PostgreSQL recorder, events published after they were saved.  It projects nothing, so it
does less than the spine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage

from events.ids import TENDER, invoice_id
from services.bench.sender import sender
from services.bench.stage import Cost, Stage
from services.bench.stream import PER_HUNDRED, TENANT
from services.commands import COMMANDS as COMMAND_TYPES
from services.running import kafka_admin

COMMANDS, EVENTS = "baseline.commands", "baseline.events"


class Invoice(Aggregate):
    @event("Posted")
    def __init__(self, external_id: str, lines: list[dict[str, Any]]) -> None:
        self.external_id, self.lines = external_id, lines
        self.balance = sum(
            line["charge"]["amount_minor"]
            + sum(tax["amount"]["amount_minor"] for tax in line.get("taxes") or ())
            for line in lines
        )

    @staticmethod
    def create_id(external_id: str) -> UUID:
        return UUID(invoice_id(TENANT, external_id))

    @event("PaymentApplied")
    def apply_payment(self, payment_id: str, amount: int) -> None:
        self.balance -= amount


class Payment(Aggregate):
    @event("Requested")
    def __init__(self, payment_id: str, amount: int) -> None:
        self.payment_id, self.amount, self.unapplied, self.status = payment_id, amount, 0, "REQUESTED"

    @staticmethod
    def create_id(payment_id: str) -> UUID:
        return uuid5(TENDER, f"payment/{payment_id}")

    @event("Processed")
    def process(self, gateway_ref: str) -> None:
        self.status, self.unapplied = "PROCESSED", self.amount

    @event("Applied")
    def apply(self, invoice_id: str, amount: int) -> None:
        self.unapplied -= amount


class Method(Aggregate):
    @event("Saved")
    def __init__(self, token: str) -> None:
        self.token = token

    @staticmethod
    def create_id(token: str) -> UUID:
        return uuid5(TENDER, f"method/{token}")


class Payments(Application[UUID]):
    """Each method is one command; it saves what it changed, and says nothing where it was done before."""

    def post(self, data: dict[str, Any]) -> Sequence[Any]:
        return self._new(Invoice(data["external_id"], data["lines"]))

    def pay(self, data: dict[str, Any]) -> Sequence[Any]:
        return self._new(Payment(data["payment_id"], data["amount"]["amount_minor"]))

    def outcome(self, data: dict[str, Any]) -> Sequence[Any]:
        payment: Payment = self.repository.get(Payment.create_id(data["operation_key"].split(":")[2]))
        payment.process(data["result"]["gateway_ref"])
        return self.save(payment)

    def apply(self, data: dict[str, Any]) -> Sequence[Any]:
        payment: Payment = self.repository.get(Payment.create_id(data["payment_id"]))
        amount = data["amount"]["amount_minor"]
        invoice: Invoice = self.repository.get(UUID(data["invoice_id"]))
        payment.apply(data["invoice_id"], amount)
        invoice.apply_payment(data["payment_id"], amount)
        return self.save(payment, invoice)

    def keep(self, data: dict[str, Any]) -> Sequence[Any]:
        return self._new(Method(data["token_ref"]))

    def _new(self, aggregate: Aggregate) -> Sequence[Any]:
        """Whether it is there already is the database's to say: that costs no query before."""
        try:
            return self.save(aggregate)
        except IntegrityError:
            return ()


async def baseline(stage: Stage, hundreds: int, accounts: int) -> Cost:
    """From the first command of a stream sent to the last one handled and published."""
    await kafka_admin.create_topics(stage.servers, [COMMANDS, EVENTS], stage.settings.topic_partitions)
    payments = Payments(env=_environment(stage.settings.database_url or ""))
    handlers = {
        "payments.invoice.post.v1": payments.post,
        "payments.payment.process.v1": payments.pay,
        "payments.payment.record_outcome.v1": payments.outcome,
        "payments.payment.apply.v1": payments.apply,
        "payments.payment_method.save.v1": payments.keep,
    }
    assert handlers.keys() <= COMMAND_TYPES.keys()
    count = hundreds * sum(PER_HUNDRED.values())
    broker, done = KafkaBroker(stage.servers, logger=None), _Count(count)
    subscriber = _subscribe(broker, payments, handlers, done)
    await broker.start()
    try:
        while not subscriber.consumer.assignment():
            await asyncio.sleep(0.05)
        async with sender(stage.servers, COMMANDS, hundreds, accounts) as send:

            async def run() -> None:
                send()
                await done.reached.wait()

            cost = await stage.costs(count, run)
            assert not done.failures, done.failures[0]
            return cost
    finally:
        await broker.stop()
        payments.close()


class _Count:
    def __init__(self, wanted: int) -> None:
        self.left, self.reached, self.failures = wanted, asyncio.Event(), list[str]()

    def one(self) -> None:
        self.left -= 1
        if not self.left:
            self.reached.set()


def _subscribe(
    broker: KafkaBroker,
    payments: Payments,
    handlers: dict[str, Callable[[dict[str, Any]], Sequence[Any]]],
    done: _Count,
) -> Any:
    publish = broker.publisher(EVENTS)

    subscriber = broker.subscriber(COMMANDS, group_id="baseline", auto_offset_reset="earliest")

    @subscriber
    async def handle(body: dict[str, Any], message: KafkaMessage) -> None:
        try:
            for recorded in handlers[message.headers["ce_type"]](body["data"]):
                stored = payments.mapper.to_stored_event(recorded.domain_event)
                await publish.publish(stored.state, key=str(stored.originator_id).encode())
        except Exception as failure:
            done.failures.append(repr(failure))
        done.one()

    return subscriber


def _environment(database_url: str) -> dict[str, str]:
    url = urlsplit(database_url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.path.removeprefix("/"),
        "POSTGRES_HOST": url.hostname or parse_qs(url.query).get("host", ["127.0.0.1"])[0],
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "",
    }
