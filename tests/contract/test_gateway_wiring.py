"""What was registered opens the right adapter: its place, its merchant account, and its latest credential."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from events.gateway import (
    Capabilities,
    GatewayCircuitClosed,
    GatewayCircuitOpened,
    GatewayCredentialRotated,
    GatewayRegistered,
    RawCodeMapPublished,
)
from events.mapper import encode, topic_of
from services.calls.safety import Limits
from services.clock import SystemClock
from services.opening import Gateways, limits
from services.settings import Settings
from services.store.postgres import PostgresStore
from tests.fixtures.gateways.adyen import FakeAdyen
from tests.fixtures.gateways.asking import planned
from tests.fixtures.gateways.gocardless import FakeGoCardless
from tests.fixtures.gateways.ledger import FakeGateway, serving
from tests.fixtures.gateways.stripe import FakeStripe


class Kept:
    def __init__(self, fact: Any) -> None:
        self.topic, self.data = topic_of(fact), encode(fact)


class OneStream:
    def __init__(self, *facts: Any) -> None:
        self._facts = list(facts)

    def append(self, fact: Any) -> None:
        self._facts.append(fact)

    async def read_stream(self, stream: str) -> list[Kept]:
        of_provider = "gwprov" in stream
        return [Kept(fact) for fact in self._facts if isinstance(fact, RawCodeMapPublished) == of_provider]


def registered(adapter_key: str, url: str | None) -> GatewayRegistered:
    return GatewayRegistered(
        "gw-1",
        "Ours",
        "provider-1",
        "env:FIRST_CREDENTIAL",
        "TestMerchant",
        "TEST",
        adapter_key,
        Capabilities(operations=("SALE",)),
        connect_timeout_ms=5000,
        read_timeout_ms=5000,
        settings={"base_url": url} if url else None,
    )


def opened(*facts: Any) -> Gateways:
    return Gateways(cast(PostgresStore, OneStream(*facts)), Settings(), SystemClock())


@pytest.mark.parametrize(
    ("key", "fake", "header"),
    [
        ("stripe", FakeStripe, "authorization"),
        ("adyen", FakeAdyen, "x-api-key"),
        ("gocardless", FakeGoCardless, "authorization"),
    ],
)
async def test_a_sale_goes_out_with_the_latest_credential(
    key: str, fake: type[FakeGateway], header: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECOND_CREDENTIAL", "sk_second")
    with serving(fake()) as served:
        known = opened(registered(key, served.url), GatewayCredentialRotated("env:SECOND_CREDENTIAL"))
        gateway = await known.of("acme", "gw-1")
        told = await gateway.call(planned("SALE", currency="GBP"))
        assert told.result_code in ("Success", "Pending")
        assert served.asked[0].headers[header].endswith("sk_second")
        assert served.asked[0].headers["idempotency-key"] == "acme:sale:x:1"
        await known.close()


async def test_what_changes_is_known_soon_and_what_does_not_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Clock:
        time = datetime(2026, 3, 2, tzinfo=UTC)

        def now(self) -> datetime:
            return self.time

    monkeypatch.setenv("FIRST_CREDENTIAL", "sk_first")
    monkeypatch.setenv("SECOND_CREDENTIAL", "sk_second")
    clock, until = Clock(), Clock.time + timedelta(minutes=1)
    with serving(FakeStripe()) as served:
        stream = OneStream(registered("stripe", served.url))
        known = Gateways(cast(PostgresStore, stream), Settings(), clock)
        first = await known.of("acme", "gw-1")
        stream.append(GatewayCircuitOpened("no answers", until))
        assert await known.limits_of("acme", "gw-1") == (
            limits(registered("stripe", served.url), Settings()),
            None,
        )
        clock.time += timedelta(seconds=6)
        assert (await known.limits_of("acme", "gw-1"))[1] == until
        assert await known.of("acme", "gw-1") is first
        stream.append(GatewayCredentialRotated("env:SECOND_CREDENTIAL"))
        stream.append(GatewayCircuitClosed())
        clock.time += timedelta(seconds=6)
        second = await known.of("acme", "gw-1")
        assert second is not first
        assert (await known.limits_of("acme", "gw-1"))[1] is None
        await second.call(planned("SALE"))
        assert served.asked[0].headers["authorization"].endswith("sk_second")
        await known.close()


def test_a_gateway_is_sent_no_more_than_its_registration_and_the_deployment_allow() -> None:
    here = Settings(gateway_concurrency_each=50, gateway_workers=2, gateway_failures_max=3)
    plain = registered("stripe", None)
    limited = replace(plain, rate_limit_per_second=25, settings={"concurrency": "7"})
    greedy = replace(plain, settings={"concurrency": "700"})
    assert limits(limited, here) == Limits(at_once=7, per_second=12.5, call_seconds=15.0, failures_max=3)
    assert limits(greedy, here) == limits(plain, here) == Limits(50, None, 15.0, 3)


@pytest.mark.parametrize(
    ("key", "why"), [("no_such", "no installed package offers"), ("simulator", "base_url")]
)
async def test_what_cannot_be_opened_says_why_at_each_call(key: str, why: str) -> None:
    gateway = await opened(registered(key, None)).of("acme", "gw-1")
    told = await gateway.call(planned("SALE"))
    assert told.result_code == "SystemError"
    assert why in (told.raw_message or "")


async def test_the_tenants_own_code_map_comes_before_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_CREDENTIAL", "sk_first")
    first = RawCodeMapPublished(1, {"insufficient_funds": ("Security", "N")})
    last = RawCodeMapPublished(2, {"a_code_of_tomorrow": ("Security", "N")})
    with serving(FakeStripe()) as served:
        known = opened(registered("stripe", served.url), first, last)
        gateway = await known.of("acme", "gw-1")
        theirs = await gateway.call(planned("SALE", token="pm_declines_a_code_of_tomorrow"))
        assert (theirs.result_code, theirs.category, theirs.never_retry) == (
            "PermanentFail",
            "Security",
            True,
        )
        ours = planned("SALE", token="pm_declines_insufficient_funds", idempotency_key="k2")
        told = await gateway.call(ours)
        assert (told.result_code, told.category, told.hard) == ("Decline", "CardLimit", False)
        await known.close()
