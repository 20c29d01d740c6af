"""Rows of PostgreSQL's tables: how they are told to `unnest`, and what they are read as."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from services.store.protocol import DeadLetter, ParkedCommand, RawNotification


def by_kind(names: Iterable[tuple[str, ...]]) -> dict[tuple[str, str], list[tuple[str, ...]]]:
    """(tenant, kind, …) by the two: what follows them."""
    found: dict[Any, list[tuple[str, ...]]] = defaultdict(list)
    for name in names:
        found[name[:2]].append(name[2:])
    return found


def columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Rows turned into columns, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def headers_json(headers: Sequence[tuple[str, bytes]]) -> str:
    return orjson.dumps([(name, value.hex()) for name, value in headers]).decode()


def headers_of(stored: str) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, bytes.fromhex(value)) for name, value in orjson.loads(stored))


def parked(row: Any) -> ParkedCommand:
    return ParkedCommand(
        row["command_id"],
        row["home"],
        row["type"],
        row["body"],
        headers_of(row["headers"]),
        row["reason"],
        row["at"],
    )


def raw_notification(row: Any) -> RawNotification:
    raw_ref, tenant, gateway_id, standing, headers, body, received_at, deliveries = row
    return RawNotification(
        raw_ref, tenant, gateway_id, standing, headers_of(headers), body, received_at, deliveries
    )


def dead_letter(row: Any) -> DeadLetter:
    _, cluster_id, topic, partition, offset, key, value, headers, code, reason, at = row
    return DeadLetter(cluster_id, topic, partition, offset, key, value, headers_of(headers), code, reason, at)
