"""Stands in for a gateway that cannot be opened here: its SDK or its credential is missing.

Nothing is sent, and the reason is in the gateway log; once it is put right, the next call goes out.
"""

from __future__ import annotations

from collections.abc import Mapping

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.outcomes import not_sent, unknown
from gateways.protocol import InvalidSignature, Notification


class UnusableGateway:
    def __init__(self, why: str) -> None:
        self._why = why

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(operations=())

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        return not_sent(self._why)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        return unknown(self._why)

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        raise InvalidSignature(self._why)

    async def close(self) -> None:
        pass
