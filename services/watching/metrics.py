"""What Tender measures of itself, for Prometheus.

Every process counts what it does.  Those of one machine share a folder (`PROMETHEUS_MULTIPROC_DIR`, which
`tender up` sets), and HTTP tells the sum; elsewhere each role has a port of its own
(`TENDER_METRICS_PORT`).  How far each role is comes from the store, so that it is told even of one that
is gone.
"""

from __future__ import annotations

import os
from collections import Counter as TopicCounts
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import REGISTRY, GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.protocol import Gateway, Notification
from services.intake import Intake, Partition, Record, Seeker
from services.messages import Message
from services.relay import KafkaPublisher
from services.watching.observing import Status

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CALL = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter("tender_http_requests_total", "HTTP requests", ("route", "status"))
REQUEST_SECONDS = Histogram("tender_http_request_seconds", "Time to answer", ("route",), buckets=_FAST)
RECORDS = Counter("tender_worker_records_total", "Records taken from the commands topic")
BATCH_SECONDS = Histogram(
    "tender_worker_batch_seconds", "From a batch's arrival until it was durable", buckets=_FAST
)
RELAYED = Counter("tender_relay_messages_total", "Messages put on Kafka", ("topic",))
DENIALS = Counter("tender_denials_total", "What somebody was not let do or see, by the rule", ("code",))
CALLS = Counter("tender_gateway_calls_total", "Calls to gateways", ("gateway", "operation", "result"))
CALL_SECONDS = Histogram(
    "tender_gateway_call_seconds", "Time of a call to a gateway", ("gateway", "operation"), buckets=_CALL
)


class StatusMetrics:
    """A status, as a collector of gauges."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[GaugeMetricFamily]:
        status = self._status
        yield _gauge("tender_log_position", "The last position of the log", status.events)
        yield _gauge("tender_verdicts", "Commands that were decided", status.verdicts)
        yield _labelled(
            "tender_follower_behind_events", "How far a follower is behind the log", "follower", status.behind
        )
        yield _gauge(
            "tender_relay_behind_results",
            "Verdicts that are not on Kafka yet",
            status.verdicts - status.relayed_results,
        )
        yield _gauge("tender_outbox_commands", "Commands of ours without a verdict", status.outbox_waiting)
        yield _gauge("tender_outbox_due", "Of those, the ones whose time has come", status.outbox_due)
        yield _gauge("tender_parked_keys", "Keys whose commands wait for a person", status.parked_keys)
        yield _gauge(
            "tender_parked_commands", "Commands that wait behind parked keys", status.parked_commands
        )
        yield _gauge("tender_dead_letters", "Records that were no commands", status.dead_letters)
        yield _labelled("tender_exceptions_open", "What needs a person, by type", "type", status.exceptions)
        yield _labelled(
            "tender_notifications_kept",
            "Gateways' notifications by what became of them",
            "status",
            status.notifications,
        )
        yield _labelled("tender_role_held", "Whether a role that acts alone is there", "role", status.leases)
        work = status.gateway_work
        for name, about in (
            ("waiting", "Gateway calls without an answer"),
            ("due", "Of those, the ones whose time has come"),
            ("under_way", "Of those, the ones that a worker holds"),
            ("oldest_seconds", "How long the oldest due one has waited"),
        ):
            yield _labelled(
                f"tender_gateway_work_{name}",
                about,
                "mode",
                {mode: getattr(each, name) for mode, each in work.items()},
            )


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, about, value=value)


def _labelled(name: str, about: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=(label,))
    for each, value in sorted(values.items()):
        family.add_metric((each,), float(value))
    return family


def exposition(status: Status | None) -> bytes:
    """All of it, in Prometheus' text format; without a status where the store is away."""
    if FOLDER in os.environ:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)
    else:
        counted = REGISTRY
    told = CollectorRegistry()
    if status is not None:
        told.register(StatusMetrics(status))
    return generate_latest(counted) + generate_latest(told)


def shared_folder(folder: Path) -> dict[str, str]:
    """The environment of processes that count together; what others left there is gone."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.db"):
        file.unlink()
    return {FOLDER: str(folder.absolute())}


# -- who measures


class MeasuredIntake(Intake):
    """Counts the records that a worker takes, and times each batch."""

    async def take(self, records: Sequence[Record], seeker: Seeker) -> dict[Partition, int]:
        RECORDS.inc(len(records))
        with BATCH_SECONDS.time():
            return await super().take(records, seeker)


class MeasuredPublisher(KafkaPublisher):
    """Counts what the relay puts on Kafka."""

    async def publish(self, messages: Sequence[Message]) -> None:
        await super().publish(messages)
        for topic, count in TopicCounts(message.topic for message in messages).items():
            RELAYED.labels(topic).inc(count)


class MeasuredGateway:
    """Counts and times the calls to one gateway, by what they were answered."""

    def __init__(self, gateway: Gateway, gateway_id: str) -> None:
        self._gateway, self._gateway_id = gateway, gateway_id

    @property
    def capabilities(self) -> Capabilities:
        return self._gateway.capabilities

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        with CALL_SECONDS.labels(self._gateway_id, request.operation).time():
            outcome = await self._gateway.call(request)
        CALLS.labels(self._gateway_id, request.operation, outcome.result_code).inc()
        return outcome

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        with CALL_SECONDS.labels(self._gateway_id, "INQUIRE").time():
            found = await self._gateway.query(request)
        CALLS.labels(self._gateway_id, "INQUIRE", found.result_code if found else "NotFound").inc()
        return found

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        return self._gateway.parse_notification(headers, body)

    async def close(self) -> None:
        await self._gateway.close()
