"""What one check stands on: an adapter, opened as Tender opens it, in front of a pretend gateway.

`call` and `query` fail the check when the adapter raises: what a network does is an answer, no error.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import Method, Outcome
from gateways.conformance.bank import Bank, Deed, SeenBefore
from gateways.conformance.rig import Rig
from gateways.conformance.wire import Answer, Asked, PretendServer, serving
from gateways.credentials import Credential
from gateways.protocol import RESULT_CODES, Gateway, Notification

CONNECT_MS, READ_MS = 2_000, 5_000
REFUSED = ("Decline", "PermanentFail", "ValidationError", "EnhancedDataRejected")
OPERATIONS = (
    "AUTHORIZE",
    "CAPTURE",
    "SALE",
    "REVERSE",
    "VOID",
    "REFUND",
    "UNREFERENCED_REFUND",
    "TOKENIZE",
    "VERIFY",
)


@dataclass
class Stand:
    rig: Rig
    server: PretendServer
    bank: Bank
    gateway: Gateway
    folder: Path
    logged: list[str] = field(default_factory=list)
    _asked_for: int = 0
    _more: list[Gateway] = field(default_factory=list)

    @property
    def can(self) -> Capabilities:
        return self.gateway.capabilities

    @property
    def currency(self) -> str:
        return "USD" if not self.can.currencies or "USD" in self.can.currencies else self.can.currencies[0]

    # -- asking

    def ask(self, operation: str, minor: int = 2000, currency: str | None = None, **told: Any) -> Any:
        """An intent as a decision plans it, under a key of its own."""
        self._asked_for += 1
        method = Method(
            self.rig.method_type, self.rig.token, "gw-1", method_id="pm-1", gateway_reference="cus_1"
        )
        planned: dict[str, Any] = {
            "idempotency_key": f"acme:{operation.lower()}:op-{self._asked_for}:1",
            "attempt_no": 1,
            "target_kind": "refund" if "REFUND" in operation else "payment",
            "target_id": f"op-{self._asked_for}",
            "account_id": "acc-1",
            "gateway_id": "gw-1",
            "request_digest": "0" * 64,
            "merchant_reference": f"PAY-{self._asked_for}",
            "method": method,
        }
        amount = Money(minor, currency or self.currency)
        return GatewayCallPlanned(operation=operation, amount=amount, **(planned | told))

    def ask_charge(self, minor: int = 2000, currency: str | None = None, **told: Any) -> GatewayCallPlanned:
        """The first step of taking money here: a sale, else an authorization."""
        operation = "SALE" if "SALE" in self.can.operations else "AUTHORIZE"
        return self.ask(operation, minor, currency, **told)

    async def call(self, request: GatewayCallPlanned, gateway: Gateway | None = None) -> Outcome:
        try:
            outcome = await (gateway or self.gateway).call(request)
        except Exception as error:
            raise AssertionError(f"call raised {error!r}, and every end of a call is an outcome") from error
        assert isinstance(outcome, Outcome), f"call gave {outcome!r}, which is no Outcome"
        assert outcome.result_code in RESULT_CODES, f"{outcome.result_code!r} is no result code"
        return outcome

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        try:
            found = await self.gateway.query(request)
        except Exception as error:
            raise AssertionError(f"query raised {error!r}: an inquiry that fails settles nothing") from error
        assert found is None or isinstance(found, Outcome), f"query gave {found!r}"
        return found

    async def settled(self, request: GatewayCallPlanned) -> Outcome:
        """The last word on a request: its answer, or what follows an acknowledgement."""
        return await self.last_word(request, await self.call(request))

    async def last_word(self, request: GatewayCallPlanned, first: Outcome) -> Outcome:
        if first.result_code != "Pending":
            return first
        deed = self.deed(request)
        self.bank.settle(deed)
        if self.can.notifications:
            told = self.read(deed)
            assert told, f"the news about a {deed.order.operation} were read as none"
            return told[0].outcome
        found = await self.query(request)
        assert found is not None, "an acknowledged operation is not found"
        return found

    async def charge(self, minor: int = 2000) -> Outcome:
        """Money that has been taken, for what gives it back."""
        if "SALE" in self.can.operations:
            return self.done(await self._with_ref(self.ask("SALE", minor)))
        held = await self.hold(minor)
        return self.done(await self._with_ref(self.ask("CAPTURE", minor, authorization_ref=held.gateway_ref)))

    async def hold(self, minor: int = 2000) -> Outcome:
        return self.done(await self._with_ref(self.ask("AUTHORIZE", minor)))

    async def _with_ref(self, request: GatewayCallPlanned) -> Outcome:
        """The answer's own reference stands for the payment, whatever the news call it."""
        first = await self.call(request)
        last = await self.last_word(request, first)
        assert first.gateway_ref, f"a {request.operation} that went well has no gateway_ref"
        return last if last is first else _with(last, first.gateway_ref)

    def done(self, outcome: Outcome) -> Outcome:
        assert outcome.result_code == "Success", f"it should have gone well, and was {outcome}"
        return outcome

    # -- what the gateway saw and did

    def deed(self, request: GatewayCallPlanned) -> Deed:
        deed = self.bank.of_key(request.idempotency_key)
        assert deed is not None, f"no request reached the gateway under the key {request.idempotency_key}"
        return deed

    @property
    def sent(self) -> list[Asked]:
        return self.server.asked

    # -- news

    def delivered(
        self, *deeds: Deed, secrets: dict[str, str] | None = None, age_seconds: int = 0
    ) -> tuple[dict[str, str], bytes]:
        at = datetime.now(UTC) - timedelta(seconds=age_seconds)
        return self.rig.deliver(deeds, secrets or dict(self.rig.secrets), at)

    def read(self, *deeds: Deed) -> list[Notification]:
        return self.gateway.parse_notification(*self.delivered(*deeds))

    # -- the adapter

    def opened(
        self, url: str | None = None, *, connect_ms: int = CONNECT_MS, read_ms: int = READ_MS
    ) -> Gateway:
        """One more, at another place or with other timeouts; closed with the stand."""
        made = type(self.rig).adapter(
            self.rig.settings(url or self.server.url), connect_ms, read_ms, self.credential()
        )
        self._more.append(made)
        return made

    def credential(self) -> Credential:
        return Credential(f"file:{self.folder / 'secrets.json'}")

    def keep(self, secrets: dict[str, str]) -> None:
        (self.folder / "secrets.json").write_bytes(orjson.dumps(secrets))

    async def close(self) -> None:
        for gateway in (self.gateway, *self._more):
            await gateway.close()


@asynccontextmanager
async def stood(rig: Rig) -> AsyncIterator[Stand]:
    """A stand, taken down at the end."""
    bank: Bank | None = None

    def answer(asked: Asked) -> Answer:
        assert bank is not None
        return _answer(rig, bank, asked)

    with tempfile.TemporaryDirectory(prefix="tender-kit-") as folder, serving(answer) as server:
        place = Path(folder)
        (place / "secrets.json").write_bytes(orjson.dumps(dict(rig.secrets)))
        gateway = type(rig).adapter(
            rig.settings(server.url), CONNECT_MS, READ_MS, Credential(f"file:{place / 'secrets.json'}")
        )
        bank = Bank(gateway.capabilities)
        stand = Stand(rig, server, bank, gateway, place)
        with closing(_Listening(stand.logged)):
            try:
                yield stand
            finally:
                server.let_go()
                await stand.close()


def _answer(rig: Rig, bank: Bank, asked: Asked) -> Answer:
    before = len(bank.deeds)
    try:
        answer = rig.serve(asked, bank)
    except SeenBefore as seen:
        return rig.again(asked, seen.deed, seen.same, seen.first)
    for deed in bank.deeds[before:]:
        if deed.order.key:
            bank.answered(deed.order.key, answer)
    return answer


class _Listening(logging.Handler):
    """Takes down everything that any library logs, at every level."""

    def __init__(self, into: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._into, self._root = into, logging.getLogger()
        self._level = self._root.level
        self._root.setLevel(logging.DEBUG)
        self._root.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._into.append(record.getMessage())

    def close(self) -> None:
        self._root.removeHandler(self)
        self._root.setLevel(self._level)
        super().close()


def _with(outcome: Outcome, gateway_ref: str) -> Outcome:
    return replace(outcome, gateway_ref=gateway_ref)
