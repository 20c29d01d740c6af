"""The gateway's side: the simulator's heart at the end of a bad line, and the people who work there.

They decide what is held for review, send money back, and change their minds: the gateway's ledger is
what was true all along, and news of it come to Tender late, twice, or in the wrong order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.money import Money
from events.shapes import Outcome
from gateways.outcomes import unknown
from gateways.simulator.behaviour import ScriptRule
from gateways.simulator.core import DATA_MISMATCH, Entry, Reply, Simulator
from gateways.simulator.translation import CAPABILITIES, of_reply, to_outcome, to_request
from services.clock import Clock
from tests.simulation.faulty import Weather

MAIN, STRICT = "gw", "strict"
STRICT_CAPABILITIES = replace(
    CAPABILITIES,
    operations=("AUTHORIZE", "CAPTURE", "SALE", "REVERSE", "REFUND"),
    currencies=("GBP",),
    method_types=("card",),
    partial_capture=False,
    partial_reversal=False,
    multi_capture=False,
    level3=False,
    refund_window_days={"card": 0},
)
"""A gateway that can do little: no voids, no payouts, nothing in parts, and refunds within the day.

In some seeds it answers no inquiries either: what became of a call, only the same call tells.
"""
OUTAGE_SECONDS = 1200.0
"""How long an operation cannot be asked about, now and then: longer than anybody inquires."""
REFUSED = (
    ("VOID", "decline_generic_decline"),
    ("CAPTURE", "decline_insufficient_funds"),
    ("REVERSE", "decline_generic_decline"),
    ("REVERSE", "timeout_after"),
    ("CAPTURE", "async_fail"),
    ("UNREFERENCED_REFUND", "decline_account_closed"),
    ("UNREFERENCED_REFUND", "review"),
    ("REFUND", "review"),
    ("REFUND", "reversed"),
)
"""What goes wrong besides what the tokens say: some of these, once each, in every seed."""


class Heedless(Simulator):
    """A gateway that carries out whatever it is sent, as often as it is sent: only Tender is careful."""

    def __init__(self, seed: int, **more: Any) -> None:
        super().__init__(seed, **more)
        self._arrived: Counter[str] = Counter()

    def request(self, request: Mapping[str, Any], now: datetime, notify_url: str = "") -> Reply:
        key = request["idempotency_key"]
        before = self._arrived[key]
        self._arrived[key] += 1
        own = f"{key}~{self._arrived[key]}"
        self._sends[own] = before  # it behaves like the next try, not like the first one over and over
        return super().request({**request, "idempotency_key": own}, now, notify_url)

    def query(self, key: str, now: datetime) -> dict[str, Any] | None:
        answers = [self.answer(entry, now) for entry in self.entries.values() if key_of(entry) == key]
        return answers[-1] if answers else None

    def _refusal(self, request: Mapping[str, Any]) -> str:
        return ""


def key_of(entry: Entry) -> str:
    return entry.key.partition("~")[0]


@dataclass(frozen=True)
class Fact:
    """News of an operation, as a gateway would notify it."""

    entry: Entry
    outcome: Outcome


class Truth(NamedTuple):
    """PROCESSED, FAILED or UNSEEN; None where they do not know it either."""

    outcome: Any
    ref: str | None = None
    amount_minor: int = 0
    """What was taken, or given back: it may be less than was asked for."""


class Bank:
    """One simulator for both gateways, and its people."""

    def __init__(
        self,
        seed: int,
        heedless: bool,
        weather: Weather,
        clock: Clock,
        tell: Callable[[Entry], None] = lambda _: None,
    ) -> None:
        self.simulator = (Heedless if heedless else Simulator)(seed, tell=tell)
        self.heedless, self.weather, self._clock = heedless, weather, clock
        self.capabilities = {
            MAIN: replace(CAPABILITIES, idempotency=not heedless, level3_max_lines=9 if seed % 2 == 0 else 2),
            STRICT: replace(
                STRICT_CAPABILITIES, idempotency=not heedless, query_by_reference=heedless or seed % 2 == 0
            ),
        }
        self.dark: dict[str, datetime] = {}
        """Operations that cannot be asked about, until when."""
        for operation, behaviour in weather.chosen.sample(REFUSED, 3):
            self.simulator.script.append(ScriptRule(behaviour, operation))

    def hold(self, ref: str, amount: Money) -> None:
        """An authorization that somebody obtained without Tender."""
        at = self._clock.now().isoformat()
        self.simulator.restore(
            Entry(ref, "", "AUTHORIZE", amount.amount_minor, amount.currency, "tok_ok", ref, at, "EXECUTED")
        )

    def decide(self, chosen: Any, all_of_them: bool = False) -> None:
        """Somebody looks at what is held for review, or waits for the customer, and decides."""
        held = [entry for entry in self.simulator.entries.values() if entry.status in ("REVIEW", "ACTION")]
        for entry in held if all_of_them else held[:1]:
            entry.status = chosen.choice(("EXECUTED", "DECLINED"))
            entry.code = "" if entry.status == "EXECUTED" else "fraudulent"
            self.weather.happened["review decided"] += 1

    def truth(self, key: str) -> Truth:
        """What became of an operation, for somebody who calls them."""
        found = [entry for entry in self.simulator.entries.values() if key_of(entry) == key]
        for entry in found:
            self.simulator.answer(entry, self._clock.now())
        executed = [entry for entry in found if entry.status == "EXECUTED"]
        if executed:
            return Truth("PROCESSED", executed[-1].ref, executed[-1].amount_minor)
        if not found:
            return Truth("UNSEEN")
        return Truth("FAILED" if {entry.status for entry in found} == {"DECLINED"} else None)

    def news(self, chosen: Any, is_known: Callable[[str], bool]) -> Fact | None:
        """Something that a gateway might notify: an outcome again, a wrong one, or one that has changed.

        It says the wrong thing only where Tender knows better (`is_known`): nobody would ask again.
        """
        entries = [entry for entry in self.simulator.entries.values() if entry.digest][-30:]
        if not entries:
            return None
        entry, now = chosen.choice(entries), self._clock.now()
        answer = self.simulator.answer(entry, now)
        if entry.status == "DECLINED" and self._may_come_true(entry):
            entry.status, entry.code = "EXECUTED", ""
            answer = self.simulator.answer(entry, now)
            self.weather.happened["declined, then executed"] += 1
        elif entry.status == "EXECUTED" and chosen.random() < 0.3 and is_known(key_of(entry)):
            self.weather.happened["executed, then said to be declined"] += 1
            return Fact(entry, Outcome("Decline", category="PaymentProcessing", raw_code="late_failure"))
        return Fact(entry, to_outcome(answer))

    def came_back(self) -> list[Fact]:
        """Refunds that the customer's bank has sent back by now."""
        returned: list[Fact] = []
        for entry in self.simulator.entries.values():
            if entry.reversal_at:
                answer = self.simulator.answer(entry, self._clock.now())
                if entry.status == "REVERSED":
                    returned.append(Fact(entry, to_outcome(answer)))
        return returned

    def _may_come_true(self, entry: Entry) -> bool:
        """Only what such a gateway can still do: never more given back than taken, nor a request that it
        would not read."""
        if entry.code == DATA_MISMATCH:
            return False
        if entry.operation in ("SALE", "AUTHORIZE"):
            return True
        if entry.operation != "REFUND" or self.heedless:
            return False
        return not self.simulator._refusal({"operation": "REFUND", "of": entry.of, **_money(entry)})


def _money(entry: Entry) -> dict[str, Any]:
    return {"amount_minor": entry.amount_minor, "currency": entry.currency}


class Line:
    """An adapter of one gateway: what the worker calls."""

    def __init__(self, bank: Bank, gateway_id: str, clock: Clock) -> None:
        self._bank, self._clock = bank, clock
        self.capabilities: Capabilities = bank.capabilities[gateway_id]

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        weather = self._bank.weather
        await asyncio.sleep(weather.chosen.random())
        reply = self._bank.simulator.request(to_request(request), self._clock.now(), request.gateway_id)
        if weather.strikes("gateway answer lost", 0.05):
            return unknown("the line was cut")
        await asyncio.sleep(reply.delay_seconds + weather.chosen.random())
        return of_reply(reply)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        weather, key = self._bank.weather, request.idempotency_key
        await asyncio.sleep(weather.chosen.random())
        now = self._clock.now()
        if weather.strikes("inquiries lost for long", 0.02):
            self._bank.dark[key] = now + timedelta(seconds=OUTAGE_SECONDS)
        if weather.strikes("inquiry lost", 0.1) or now < self._bank.dark.get(key, now):
            return unknown("the line was cut")
        if not self.capabilities.query_by_reference:
            return None
        answer = self._bank.simulator.query(key, now)
        return None if answer is None else to_outcome(answer)
