"""The simulator's news: what it tells, when, how often, and by which names; the same for the same seed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from gateways.protocol import InvalidSignature, StaleNotification
from gateways.simulator.adapter import SIGNATURE, SimulatorAdapter, sign
from gateways.simulator.behaviour import ScriptRule
from gateways.simulator.core import Entry, Simulator
from gateways.simulator.notifying import SPREAD_SECONDS, deliveries, named_by
from gateways.simulator.sending import Sending

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def asked(key: str = "t:sale:P1:1", token: str = "tok_ok", **more: Any) -> dict[str, Any]:
    request = {"operation": "SALE", "amount_minor": 1000, "currency": "USD", "of": None}
    return {**request, "idempotency_key": key, "token": token, "merchant_reference": "PAY-000001", **more}


def heard(script: list[ScriptRule] | None = None) -> tuple[Simulator, list[tuple[str, str]]]:
    """A simulator, and what it tells: (status, mood)."""
    told = list[tuple[str, str]]()

    def tell(entry: Entry) -> None:
        told.append((entry.status, entry.mood))

    return Simulator(7, script, tell=tell), told


def test_each_change_of_an_operation_is_told_without_being_asked_for() -> None:
    simulator, told = heard()
    simulator.request(asked(token="tok_async_ok"), NOW)
    simulator.let_time_pass(NOW + timedelta(seconds=1))
    assert told == [("PENDING_OK", "")]
    simulator.let_time_pass(NOW + timedelta(seconds=3))
    simulator.let_time_pass(NOW + timedelta(seconds=9))
    assert told == [("PENDING_OK", ""), ("EXECUTED", "")]


def test_a_refund_that_comes_back_is_told() -> None:
    simulator, told = heard()
    sale = simulator.request(asked(token="tok_refund_reversed"), NOW).body
    refund = asked("t:refund:R1:1", "tok_refund_reversed", operation="REFUND", of=sale["ref"])
    simulator.request(refund, NOW)
    simulator.let_time_pass(NOW + timedelta(seconds=3))
    assert [status for status, _ in told] == ["EXECUTED", "EXECUTED", "REVERSED"]


def test_what_was_pending_at_a_crash_is_told_after_it() -> None:
    simulator, told = heard()
    simulator.restore(
        Entry("k", "d", "SALE", 1000, "USD", "tok_async_fail", "sim_1", NOW.isoformat(), "PENDING_FAIL")
    )
    simulator.let_time_pass(NOW + timedelta(seconds=3))
    assert told == [("DECLINED", "")]


def test_a_token_or_a_script_chooses_how_it_is_told_besides_what_happens() -> None:
    simulator, told = heard([ScriptRule("decline_lost_card", key="scripted", mood="lost")])
    simulator.request(asked("k1", "tok_soft_funds+repeat_10"), NOW)
    simulator.request(asked("scripted", "tok_ok"), NOW)
    assert told == [("DECLINED", "repeat_10"), ("DECLINED", "lost")]


@pytest.mark.parametrize(
    ("mood", "copies"), [("prompt", 1), ("lost", 0), ("repeat_10", 10), ("late_4500", 1), ("repeat_0", 0)]
)
def test_a_mood_says_how_many_copies_come_when(mood: str, copies: int) -> None:
    assert len(deliveries(mood, "x")) == copies
    assert deliveries("late_4500", "x") == (4.5,)


def test_a_mood_that_is_none_is_told_at_the_start() -> None:
    with pytest.raises(ValueError, match="no mood 'sulky'"):
        Sending("http://127.0.0.1/", "sulky")


def test_the_mix_loses_repeats_delays_and_reorders_and_is_the_same_every_time() -> None:
    whole = [deliveries("mix", f"7/{n}") for n in range(1000)]
    assert whole == [deliveries("mix", f"7/{n}") for n in range(1000)]
    copies = Counter(map(len, whole))
    assert all(copies[n] > 10 for n in (0, 1, 2, 10))
    assert 1 < max(max(each, default=0) for each in whole) <= SPREAD_SECONDS
    assert {named_by("mix", f"7/{n}") for n in range(100)} == {
        ("ref",), ("merchant_reference", "ref"), ("key", "merchant_reference", "ref"),
    }  # fmt: skip


def test_the_adapter_reads_what_the_simulator_tells_and_only_that_of_now() -> None:
    simulator, _ = heard()
    simulator.request(asked(), NOW)
    (entry,) = simulator.entries.values()
    body, at = orjson.dumps(simulator.news(entry, "prompt")), int(NOW.timestamp())
    clock = [float(at)]
    adapter = SimulatorAdapter({"base_url": "http://x"}, 1000, 1000, now=lambda: clock[0])
    (news,) = adapter.parse_notification({"X-Simulator-Signature": sign(body, at)}, body)
    assert (news.type, news.operation_key, news.merchant_reference) == ("SALE", "t:sale:P1:1", "PAY-000001")
    assert (news.gateway_ref, news.outcome.result_code) == (entry.ref, "Success")
    assert news.event_id == simulator.news(entry, "mix")["event_id"]
    for given in ("", "t=,v1=", sign(body, at)[:-1] + "x", sign(b"{}", at), "t=-1,v1=" + "0" * 64):
        with pytest.raises(InvalidSignature):
            adapter.parse_notification({SIGNATURE: given}, body)
    clock[0] = at + 299
    assert adapter.parse_notification({SIGNATURE: sign(body, at)}, body)
    for age in (301, -301):
        clock[0] = at + age
        with pytest.raises(StaleNotification):
            adapter.parse_notification({SIGNATURE: sign(body, at)}, body)


@pytest.mark.parametrize(
    ("told", "result"),
    [
        ({"amounts": [45, 32]}, "Success"),
        ({"amounts": [1, 2]}, "ValidationError"),
        ({"descriptor_code": "SM11AA"}, "Success"),
        ({"descriptor_code": "SM11AB"}, "ValidationError"),
    ],
)
def test_a_bank_account_is_proved_by_what_it_was_sent(told: dict[str, Any], result: str) -> None:
    simulator, _ = heard()
    saved = simulator.request(
        asked("t:tokenize:M:1", "hdl_action", operation="TOKENIZE", amount_minor=0), NOW
    )
    assert saved.body["result"] == "ActionRequired"
    ref = saved.body["ref"]
    guess = asked("t:verify:M:1", ref, operation="VERIFY", of=ref, amount_minor=0, **told)
    assert simulator.request(guess, NOW).body["result"] == result
    stranger = asked("t:verify:M:2", ref, operation="VERIFY", of="sim_none", amount_minor=0, **told)
    assert simulator.request(stranger, NOW).body["result"] == "Decline"


@pytest.mark.parametrize(
    ("token", "result"),
    [
        ("tok_ok", "Success"),
        ("tok_soft_funds", "Success"),
        ("tok_async_fail", "Success"),
        ("tok_refund_closed", "Success"),
        ("tok_decline_do_not_honor", "Success"),
        ("tok_hard_lost", "PermanentFail"),
        ("tok_decline_expired_card", "PermanentFail"),
    ],
)
def test_a_charge_of_nothing_is_refused_for_a_card_that_is_dead_alone(token: str, result: str) -> None:
    simulator, _ = heard()
    proved = asked("t:tokenize:M.check:1", token, operation="TOKENIZE", amount_minor=0)
    assert simulator.request(proved, NOW).body["result"] == result
