"""A gateway whose refusals are read by the tenant's own raw code map first, and by ours where it is silent.

The map is looked up after each call, so one that was published during a call counts for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from events.card_numbers import masked
from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.codes import NO_MAP, CodeMap
from gateways.outcomes import result_of
from gateways.protocol import Gateway, Notification

Published = Callable[[], Awaitable[CodeMap | None]]
"""None: it cannot be read now; an answer is never lost for that."""

REFUSALS = ("Decline", "PermanentFail", "ValidationError")

WORDS = (
    "raw_code", "raw_sub_code", "raw_message", "auth_code", "avs_code", "cvc_code", "network_code",
    "network_advice", "reference_details",
)  # fmt: skip
"""What of an outcome is a gateway's own words and codes."""


class MappedGateway:
    def __init__(self, gateway: Gateway, published: Published) -> None:
        self._gateway, self._published = gateway, published
        self._latest = NO_MAP

    @property
    def capabilities(self) -> Capabilities:
        return self._gateway.capabilities

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        return await self._read(await self._gateway.call(request))

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        found = await self._gateway.query(request)
        return None if found is None else await self._read(found)

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        """By the map as the last call, or `refresh`, saw it."""
        news = self._gateway.parse_notification(headers, body)
        return [
            each._replace(outcome=remapped(_without_card_numbers(each.outcome), self._latest))
            for each in news
        ]

    async def refresh(self) -> None:
        """Look the map up, where no call has done so."""
        published = await self._published()
        self._latest = self._latest if published is None else published

    async def close(self) -> None:
        await self._gateway.close()

    async def _read(self, told: Outcome) -> Outcome:
        outcome = _without_card_numbers(told)
        if outcome.result_code in REFUSALS:
            await self.refresh()
        return remapped(outcome, self._latest)


def _without_card_numbers(outcome: Outcome) -> Outcome:
    """What a gateway says in words is kept for people to read: a card number in it is not.

    Its references (`gateway_ref`, `network_transaction_id`, what an action leads to) are left as they are:
    they are needed to the letter.
    """
    said = {name: word for name in WORDS if (word := getattr(outcome, name))}
    hidden = {name: masked(word) for name, word in said.items()}
    return outcome if hidden == said else replace(outcome, **hidden)


def remapped(outcome: Outcome, published: CodeMap) -> Outcome:
    """A refusal as the tenant reads its code; anything else, and a code that it does not name, as it was."""
    meaning = published.codes.get((outcome.raw_code or "").strip().lower())
    if meaning is None or outcome.result_code not in REFUSALS:
        return outcome
    return replace(
        outcome,
        result_code=result_of(meaning, meaning.never_retry),
        category=meaning.category,
        hard=meaning.hard,
        never_retry=meaning.never_retry,
        code_map_version=published.version,
    )
