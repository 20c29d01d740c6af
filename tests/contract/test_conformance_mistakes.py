"""The kit itself, tested: mistakes that people make are planted into the template, one at a time.

Each is caught by the check that is named for it; the template without them passes every check.
"""

from __future__ import annotations

import asyncio
import logging
import random
import struct
import time
from dataclasses import replace
from typing import Any

import httpx
import pytest

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import EXPONENTS, Money
from events.shapes import Outcome
from gateways.conformance import run_all
from gateways.conformance.rig import Rig
from gateways.http import Answer, client
from gateways.outcomes import not_sent
from gateways.protocol import Notification
from tests.fixtures.template import AcmePay, AcmePayRig, template

LOG = logging.getLogger(__name__)


class AKeyOfItsOwn(AcmePay):
    async def _send(self, request: GatewayCallPlanned) -> Answer:
        return await super()._send(replace(request, idempotency_key=f"own-{random.random()}"))


class Hundredths(AcmePay):
    """Counts every currency in hundredths."""

    async def _send(self, request: GatewayCallPlanned) -> Answer:
        minor, currency = request.amount.amount_minor, request.amount.currency
        counted = Money(minor * 100 // 10 ** EXPONENTS[currency], currency)
        return await super()._send(replace(request, amount=counted))


class Floats(AcmePay):
    """Counts in single precision, and rounds small change away."""

    async def _send(self, request: GatewayCallPlanned) -> Answer:
        (minor,) = struct.unpack("f", struct.pack("f", request.amount.amount_minor / 2))
        return await super()._send(replace(request, amount=Money(int(minor) * 2, request.amount.currency)))


class WholeCaptures(AcmePay):
    """Captures what was held, whatever is asked for."""

    async def _send(self, request: GatewayCallPlanned) -> Answer:
        whole = request.operation == "CAPTURE" and request.amount.amount_minor < 2000
        return await super()._send(replace(request, amount=Money(2000, "USD")) if whole else request)


class LostIsNotSent(AcmePay):
    """Takes every failure of the network for "not sent"."""

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        told = await super().call(request)
        lost = told.result_code == "Indeterminate" and (told.raw_message or "").endswith(("Timeout", "Error"))
        return not_sent("it did not work") if lost else told


class NotReachedIsUnknown(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        told = await super().call(request)
        reached = not (told.raw_message or "").startswith("not reached")
        return told if reached else replace(told, result_code="Indeterminate")


class TriesAgain(AcmePay):
    async def _send(self, request: GatewayCallPlanned) -> Answer:
        first = await super()._send(request)
        return await super()._send(request) if first.status >= 500 else first


class RaisesOnNonsense(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        told = await super().call(request)
        if (told.raw_message or "").startswith("the answer cannot be read"):
            raise ValueError(told.raw_message)
        return told


class FollowsRedirections(AcmePay):
    def __init__(self, settings: Any, connect_ms: int, read_ms: int, credential: Any) -> None:
        super().__init__(settings, connect_ms, read_ms, credential)
        self._http = client(connect_ms, read_ms, base_url=settings["base_url"], follow_redirects=True)


class ReadsWithoutEnd(AcmePay):
    """The whole body, whatever its length."""

    def __init__(self, settings: Any, connect_ms: int, read_ms: int, credential: Any) -> None:
        super().__init__(settings, connect_ms, read_ms, credential)
        self._url = settings["base_url"]

    async def _send(self, request: GatewayCallPlanned) -> Answer:
        headers = self._signed_in() | {"idempotency-key": request.idempotency_key}
        async with httpx.AsyncClient() as http:
            response = await http.post(f"{self._url}/operations", headers=headers, content=b"{}")
        return Answer(response.status_code, response.headers, response.content)


class ServerErrorIsADecline(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        told = await super().call(request)
        failed = (told.raw_message or "").startswith("HTTP 5")
        return Outcome("Decline", category="PaymentProcessing") if failed else told


class NeverForgotten(AcmePay):
    """Forgets that a code means "never again"."""

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        return replace(await super().call(request), never_retry=False)


class GuessesCodes(AcmePay):
    """Takes a code that it does not know for a hard one."""

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        told = await super().call(request)
        return replace(told, category="PaymentProcessing", hard=True) if told.category == "Unknown" else told


class PendingIsSuccess(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        told = await super().call(request)
        return replace(told, result_code="Success") if told.result_code == "Pending" else told


class FailedInquiryIsNotFound(AcmePay):
    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        found = await super().query(request)
        return None if found and found.result_code == "Indeterminate" else found


class FindsTheLatest(AcmePay):
    """Looks for a payment of the same amount instead of for the key."""

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        return await super().query(replace(request, idempotency_key="acme:sale:op-1:1"))


class TriesWhatItCannot(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        return template._read(await self._send(request))


class SignaturesUnchecked(AcmePay):
    def parse_notification(self, headers: Any, body: bytes) -> list[Notification]:
        made = template.json.loads(body)["operation"]
        return [Notification("n", made["kind"], made["key"], made["ref"], template._told(made))]


class OldNewsCount(AcmePay):
    def parse_notification(self, headers: Any, body: bytes) -> list[Notification]:
        given = {name.lower(): value for name, value in headers.items()}
        before, time.time = time.time, lambda: float(given.get("acme-time") or 0)
        try:
            return super().parse_notification(headers, body)
        finally:
            time.time = before


class ShowsItsSecret(AcmePay):
    def __repr__(self) -> str:
        return f"AcmePay({self._credential.secret()})"


class LogsItsHeaders(AcmePay):
    def _signed_in(self) -> dict[str, str]:
        headers = super()._signed_in()
        LOG.debug("asking with %s", headers)
        return headers


class KeepsItsCredential(AcmePay):
    """Reads the credential once, when it is opened."""

    def __init__(self, settings: Any, connect_ms: int, read_ms: int, credential: Any) -> None:
        super().__init__(settings, connect_ms, read_ms, credential)
        self._kept = super()._signed_in()

    def _signed_in(self) -> dict[str, str]:
        return self._kept


class BlocksTheLoop(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        time.sleep(1.2)
        return await super().call(request)


class MixesUpAnswers(AcmePay):
    """Keeps the request of now in itself."""

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        self._now = request
        await asyncio.sleep(0)
        return await super().call(self._now)


class StampsItsRequests(AcmePay):
    def _signed_in(self) -> dict[str, str]:
        return super()._signed_in() | {"sent-at": str(time.time())}


class PromisesLines(AcmePay):
    """Declares Level 3, and sends none."""

    @property
    def capabilities(self) -> Capabilities:
        return replace(template.CAPABILITIES, level2=True, level3=True)


class PromisesWhatItCannot(AcmePay):
    @property
    def capabilities(self) -> Capabilities:
        return replace(template.CAPABILITIES, level3=True, asynchronous=("VOID",))


class ForgetsThePause(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        return replace(await super().call(request), retry_after_seconds=None)


class SwallowsBeingGivenUp(AcmePay):
    async def call(self, request: GatewayCallPlanned) -> Outcome:
        try:
            return await super().call(request)
        except asyncio.CancelledError:
            return not_sent("given up")


MISTAKES: list[tuple[type[Any], tuple[str, ...]]] = [
    (AKeyOfItsOwn, ("KEY-1", "KEY-2")),
    (Hundredths, ("AMT-2", "AMT-3")),
    (Floats, ("AMT-5", "AMT-6")),
    (WholeCaptures, ("OPS-4",)),
    (LostIsNotSent, ("NET-5", "NET-7", "NET-9")),
    (NotReachedIsUnknown, ("NET-1", "NET-3")),
    (TriesAgain, ("NET-15", "NET-20")),
    (RaisesOnNonsense, ("NET-10", "NET-13")),
    (FollowsRedirections, ("NET-19",)),
    (ReadsWithoutEnd, ("NET-14",)),
    (ServerErrorIsADecline, ("NET-15",)),
    (NeverForgotten, ("REF-3",)),
    (GuessesCodes, ("REF-6",)),
    (PendingIsSuccess, ("REF-11",)),
    (FailedInquiryIsNotFound, ("INQ-6",)),
    (FindsTheLatest, ("INQ-4",)),
    (TriesWhatItCannot, ("OPS-16",)),
    (SignaturesUnchecked, ("NOT-3", "NOT-4", "NOT-5")),
    (OldNewsCount, ("NOT-6",)),
    (ShowsItsSecret, ("SEC-1",)),
    (LogsItsHeaders, ("SEC-2",)),
    (KeepsItsCredential, ("SEC-5",)),
    (BlocksTheLoop, ("CON-4",)),
    (MixesUpAnswers, ("CON-3",)),
    (StampsItsRequests, ("CON-1",)),
    (PromisesLines, ("LVL-2",)),
    (PromisesWhatItCannot, ("CAP-2", "CAP-3")),
    (ForgetsThePause, ("NET-17",)),
    (SwallowsBeingGivenUp, ("CON-5",)),
]


@pytest.mark.parametrize(("mistake", "caught_by"), MISTAKES, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_mistake_is_caught_by_its_check(mistake: type[Any], caught_by: tuple[str, ...]) -> None:
    rig: type[Rig] = type("Planted", (AcmePayRig,), {"adapter": mistake})
    told = {each.check.id: each.verdict for each in run_all(rig, caught_by) if each.check.id in caught_by}
    assert told == dict.fromkeys(caught_by, "failed")
