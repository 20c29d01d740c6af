"""What follows a failure: which rule, when, with which method; one attempt less, the last, one more."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.retry import RetryDefinition, RetryIntervals, RetryRule, RetryWindow
from services.retries import caps, timing
from services.retries.cycle import Wait
from services.retries.deciding import (
    Failure,
    GiveUp,
    Instrument,
    Progress,
    RetryAt,
    Terms,
    Wallet,
    decide_next,
)
from services.retries.resolving import resolve
from services.retries.timing import Failures, Hours, hours_of

T = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
CATEGORIES = ("CardLimit", "PaymentProcessing", "Security")


def fixed(value: int, unit: str, max: int) -> RetryIntervals:
    return RetryIntervals("FIXED", unit, (value,), max, max)


def staggered(unit: str, *values: int, max: int | None = None) -> RetryIntervals:
    return RetryIntervals("STAGGERED", unit, values, max, min(max or 10, len(values)))


def rule(
    number: str, category: str, gateway: str | None, code: str | None, intervals: RetryIntervals
) -> RetryRule:
    return RetryRule(number, category, gateway, code, intervals, ("type", "unit", "values", "max"))


def terms(
    intervals: RetryIntervals,
    *rules: RetryRule,
    alternate: bool = False,
    basis: str = "FIRST_FAILURE",
    hard: str = "SKIP_TO_ALTERNATE",
    never: bool = False,
    window: RetryWindow | None = None,
    **more: tuple[str, ...],
) -> Terms:
    return Terms(RetryDefinition(intervals, alternate, rules, window), basis, hard, never, **more)


SOFT = Failure("CardLimit", "insufficient_funds", "gw", "A", T)
HARD = SOFT._replace(category="PaymentInformation", raw_code="expired_card", hard=True)
STOLEN = SOFT._replace(category="Security", raw_code="stolen_card", hard=True, never_retry=True)
ALONE = Wallet("A", "A", (Instrument("A"),))
TWO = Wallet("A", "B", (Instrument("A"), Instrument("B")))


def after(failure: Failure, terms: Terms, count: int = 0, wallet: Wallet = ALONE, **more: object) -> object:
    progress = Progress(T, count, **more)  # type: ignore[arg-type]
    return decide_next(failure, progress, terms, wallet, failure.at)


# -- how many


intervals = st.one_of(
    st.builds(fixed, st.integers(1, 60), st.sampled_from(["MINUTES", "HOURS", "DAYS"]), st.integers(1, 10)),
    st.builds(
        lambda values, unit, max: staggered(unit, *sorted(values), max=max),
        st.sets(st.integers(1, 60), min_size=1, max_size=10),
        st.sampled_from(["MINUTES", "HOURS", "DAYS"]),
        st.none() | st.integers(1, 10),
    ),
)


@given(intervals, st.booleans())
def test_one_less_the_last_and_one_more(intervals: RetryIntervals, alternate: bool) -> None:
    n, given = intervals.attempts, terms(intervals, alternate=alternate)
    for count in range(n):
        planned = after(SOFT, given, count, TWO)
        assert isinstance(planned, RetryAt)
        assert (planned.attempt, planned.max, planned.is_last) == (count + 1, n, count + 1 == n)
        assert planned.is_alternate == (alternate and count + 1 == n)
    for count in (n, n + 1):
        ended = after(SOFT, given, count, TWO)
        assert isinstance(ended, GiveUp)
        assert ended.reason == "EXHAUSTED"


@given(intervals, st.integers(1, 5))
def test_attempts_that_were_added_come_after_those_of_the_rules(
    intervals: RetryIntervals, extra: int
) -> None:
    n, given = intervals.attempts + extra, terms(intervals)
    last = after(SOFT, given, n - 1, extra=extra)
    assert isinstance(last, RetryAt)
    assert last.is_last
    assert isinstance(after(SOFT, given, n, extra=extra), GiveUp)


def test_a_failed_check_of_ours_is_retried_only_by_a_rule() -> None:
    own = SOFT._replace(category="ValidationFailure")
    ended = after(own, terms(fixed(1, "DAYS", 3)))
    assert isinstance(ended, GiveUp)
    assert ended.reason == "VALIDATION_FAILURE"
    ruled = terms(fixed(1, "DAYS", 3), rule("R", "ValidationFailure", None, None, fixed(2, "DAYS", 1)))
    assert isinstance(after(own, ruled), RetryAt)


# -- which rule


keys = st.tuples(
    st.sampled_from(CATEGORIES), st.none() | st.sampled_from(["g1", "g2"]), st.none() | st.sampled_from("xy")
)


@given(
    st.sets(keys), st.sampled_from(CATEGORIES), st.sampled_from(["g1", "g2"]), st.sampled_from(["X ", "y"])
)
def test_the_rule_that_names_most_of_a_failure_is_asked(
    about: set[tuple[str, str | None, str | None]], category: str, gateway: str, code: str
) -> None:
    rules = tuple(rule(f"{n}", *key, fixed(1, "DAYS", 1)) for n, key in enumerate(sorted(about, key=str)))
    found = resolve(RetryDefinition(fixed(9, "DAYS", 9), False, rules), category, gateway, code)
    fitting = [
        each
        for each in rules
        if each.category == category
        and each.gateway_id in (None, gateway)
        and each.raw_code in (None, code.strip().lower())
    ]
    rank = {(True, True): 1, (True, False): 2, (False, True): 3, (False, False): 4}
    best = min((rank[bool(each.gateway_id), bool(each.raw_code)] for each in fitting), default=5)
    assert found.level == best
    assert (found.rule in fitting) if fitting else (found.rule is None)


# -- when


@given(intervals, st.sampled_from(["FIRST_FAILURE", "PREVIOUS_ATTEMPT"]), st.data())
def test_an_attempt_is_never_in_the_past(intervals: RetryIntervals, basis: str, data: st.DataObject) -> None:
    attempt = data.draw(st.integers(1, intervals.attempts))
    latest = T + timedelta(seconds=data.draw(st.integers(0, 90 * 86_400)))
    now = latest + timedelta(seconds=data.draw(st.integers(0, 90 * 86_400)))
    at = timing.next_at(intervals, attempt, Failures(T, latest), basis, now)
    unit = timing.UNITS[intervals.unit]
    value = intervals.values[attempt - 1 if intervals.type == "STAGGERED" else 0] * unit
    counts_from = T if intervals.type == "STAGGERED" and basis == "FIRST_FAILURE" else latest
    assert at == (counts_from + value if counts_from + value > now else now + unit)
    assert at > now


ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kathmandu")


@given(
    st.sampled_from(ZONES),
    st.integers(0, 22),
    st.integers(1, 24),
    st.booleans(),
    st.integers(0, 2 * 365 * 1440),
)
def test_what_falls_outside_the_window_waits_for_the_next_moment_inside(
    zone: str, opens: int, length: int, skip: bool, minutes: int
) -> None:
    window = Hours(ZoneInfo(zone), opens, min(24, opens + length), skip)
    at = T + minutes * MINUTE
    moved = timing.moved_into(window, at)
    local = moved.astimezone(ZoneInfo(zone))
    assert moved >= at
    assert moved - at <= timedelta(days=3, hours=1)
    assert not (skip and local.weekday() >= 5)
    in_a_gap = local.hour != opens and moved != at  # the hour that it opens at was skipped by the clocks
    assert in_a_gap or window.from_hour <= local.hour < window.to_hour
    assert timing.moved_into(window, moved) == moved or in_a_gap


def test_days_keep_the_time_of_day_over_a_change_of_clocks() -> None:
    berlin = Hours(ZoneInfo("Europe/Berlin"))
    failed = datetime(2026, 3, 28, 8, 0, tzinfo=UTC)  # 09:00, the day before the clocks go forward
    at = timing.next_at(fixed(1, "DAYS", 3), 1, Failures(failed, failed), "FIRST_FAILURE", failed, berlin)
    assert at == datetime(2026, 3, 29, 7, 0, tzinfo=UTC)
    assert timing.next_at(
        fixed(24, "HOURS", 3), 1, Failures(failed, failed), "FIRST_FAILURE", failed, berlin
    ) == (failed + DAY)


def moved(hours: Hours, text: str) -> str:
    return f"{timing.moved_into(hours, datetime.fromisoformat(text)):%m-%dT%H:%M}"


def test_an_account_is_tried_on_its_own_business_days_in_its_own_hours() -> None:
    """Epiphany is a holiday in Baden-Württemberg and not in Berlin; New York wakes up later."""
    window = RetryWindow(None, 9, 17, skip_weekends=True, skip_holidays=True)
    berlin, stuttgart = (hours_of(window, "Europe/Berlin", calendar) for calendar in ("DE-BE", "DE-BW"))
    assert berlin
    assert stuttgart
    assert moved(berlin, "2026-01-06T03:00:00+00:00") == "01-06T08:00"
    assert moved(stuttgart, "2026-01-06T03:00:00+00:00") == "01-07T08:00"
    assert moved(berlin, "2026-01-02T16:30:00+00:00") == "01-05T08:00"
    assert moved(berlin, "2025-12-31T23:30:00+00:00") == "01-02T08:00"
    new_york = hours_of(window, "America/New_York")
    assert new_york
    assert moved(new_york, "2026-01-06T03:00:00+00:00") == "01-06T14:00"


@pytest.mark.parametrize(
    ("at", "then"),
    [
        ("2026-02-25T12:00:00+00:00", "02-28T08:00"),  # the 31st of February is its last day
        ("2026-02-24T12:00:00+00:00", "02-24T12:00"),  # too long a wait
        ("2026-03-31T12:00:00+00:00", "03-31T12:00"),  # today
        ("2026-04-27T12:00:00+00:00", "04-30T08:00"),
        ("2026-05-01T12:00:00+00:00", "05-01T12:00"),
    ],
)
def test_an_attempt_waits_for_the_pay_day_that_is_near(at: str, then: str) -> None:
    window = RetryWindow("UTC", 8, 20, pay_day_within_days=3)
    hours = hours_of(window, "Europe/Berlin", None, 31)
    assert hours
    assert moved(hours, at) == then


def test_a_pay_day_on_a_weekend_is_the_business_day_after_it() -> None:
    hours = hours_of(RetryWindow("UTC", 8, 20, True, pay_day_within_days=5), "UTC", None, 28)
    assert hours
    assert moved(hours, "2026-02-25T12:00:00+00:00") == "03-02T08:00"


# -- network caps


@given(st.lists(st.integers(0, 40 * 24), max_size=60), st.sampled_from(["visa", "Mastercard", "amex"]))
def test_no_attempt_is_planned_above_a_cap(hours: list[int], network: str) -> None:
    past = sorted(T - hour * HOUR for hour in hours)
    mine = caps.of_network(caps.AS_NETWORKS_COUNT, network)
    at, moved = caps.earliest(T + HOUR, past, mine)
    for cap in mine:
        assert sum(at - cap.span < each <= at for each in past) < cap.attempts
    assert (moved is None) == (at == T + HOUR)
    if moved:  # a moment earlier it would have been one too many
        before = at - timedelta(microseconds=1)
        assert sum(before - moved.span < each <= before for each in past) >= moved.attempts


def test_the_fifteenth_the_sixteenth_and_the_seventeenth_with_a_visa_card() -> None:
    given = terms(fixed(1, "HOURS", 10))
    for count, moved in ((14, False), (15, True), (16, True)):
        past = tuple(T - (count - 1 - n) * HOUR for n in range(count))
        wallet = Wallet("A", None, (Instrument("A", "visa", attempts=past),))
        planned = after(SOFT, given, 0, wallet)
        assert isinstance(planned, RetryAt)
        assert planned.at == (past[-15] + 30 * DAY if moved else T + HOUR)
        assert any("visa allows 15" in why for why in planned.why) == moved


def test_a_cap_is_read_as_it_is_written() -> None:
    assert str(caps.parsed("visa 15/30d")) == "visa allows 15 attempts in 30 days"
    assert str(caps.parsed("mastercard 10/24h")) == "mastercard allows 10 attempts in 24 hours"
    assert caps.parsed("visa 15 in 30 days") is None


# -- hard declines


@pytest.mark.parametrize("failure", [HARD, STOLEN])
def test_a_hard_decline_leaves_one_attempt_with_another_method(failure: Failure) -> None:
    planned = after(failure, terms(fixed(3, "MINUTES", 5), alternate=True), 0, TWO)
    assert isinstance(planned, RetryAt)
    assert (planned.method_id, planned.at, planned.is_last, planned.max) == ("B", T + 3 * MINUTE, True, 1)
    ended = after(
        SOFT._replace(method_id="B"), terms(fixed(3, "MINUTES", 5), alternate=True), 1, TWO, spent=True
    )
    assert isinstance(ended, GiveUp)


@pytest.mark.parametrize(
    ("given", "wallet"),
    [
        (terms(fixed(3, "MINUTES", 5), alternate=False), TWO),
        (terms(fixed(3, "MINUTES", 5), alternate=True), ALONE),
        (terms(fixed(3, "MINUTES", 5), alternate=True, hard="FAIL"), TWO),
    ],
)
def test_a_hard_decline_ends_it_where_there_is_no_other_way(given: Terms, wallet: Wallet) -> None:
    for failure, reason in ((HARD, "HARD_DECLINE"), (STOLEN, "NEVER_RETRY")):
        ended = after(failure, given, 0, wallet)
        assert isinstance(ended, GiveUp)
        assert ended.reason == reason


@pytest.mark.parametrize("hard", ["SKIP_TO_ALTERNATE", "FAIL"])
def test_a_rule_that_names_the_code_wins(hard: str) -> None:
    named = rule("R", "PaymentInformation", None, "expired_card", fixed(1, "DAYS", 2))
    planned = after(HARD, terms(fixed(3, "MINUTES", 5), named, hard=hard), 0, ALONE)
    assert isinstance(planned, RetryAt)
    assert (planned.method_id, planned.at, planned.max) == ("A", T + DAY, 2)


def test_a_hard_decline_follows_the_rules_where_the_tenant_chose_so() -> None:
    planned = after(HARD, terms(fixed(3, "MINUTES", 5), hard="FOLLOW_RULES"), 0, ALONE)
    assert isinstance(planned, RetryAt)
    assert (planned.method_id, planned.max) == ("A", 5)


@pytest.mark.parametrize("named", [True, False])
def test_what_networks_forbid_is_never_tried_with_the_same_instrument(named: bool) -> None:
    rules = (rule("R", "Security", None, "stolen_card", fixed(3, "MINUTES", 5)),) if named else ()
    given = terms(fixed(3, "MINUTES", 5), *rules, alternate=True, hard="FOLLOW_RULES")
    for count in range(5):
        planned = after(STOLEN, given, count, TWO)
        assert isinstance(planned, RetryAt)
        assert (planned.method_id, planned.attempt, planned.max) == ("B", count + 1, 5)
    ended = after(STOLEN, given, 0, ALONE)
    assert isinstance(ended, GiveUp)
    assert ended.reason == "NEVER_RETRY"


def test_unless_the_tenant_has_written_down_why() -> None:
    given = terms(fixed(3, "MINUTES", 5), hard="FOLLOW_RULES", never=True)
    planned = after(STOLEN, given, 0, ALONE)
    assert isinstance(planned, RetryAt)
    assert planned.method_id == "A"
    still = after(STOLEN, terms(fixed(3, "MINUTES", 5), never=True), 0, ALONE)
    assert isinstance(still, GiveUp), "the note alone allows nothing: a rule or the policy must ask for it"


@given(
    st.sampled_from([SOFT, HARD, STOLEN]),
    st.integers(0, 6),
    st.booleans(),
    st.sampled_from(["SKIP_TO_ALTERNATE", "FOLLOW_RULES", "FAIL"]),
    st.lists(st.tuples(st.sampled_from("ABCD"), st.booleans(), st.booleans()), unique_by=lambda i: i[0]),
    st.none() | st.sampled_from("ABCD"),
)
def test_only_what_can_be_charged_is_charged(
    failure: Failure,
    count: int,
    alternate: bool,
    hard: str,
    methods: list[tuple[str, bool, bool]],
    default: str | None,
) -> None:
    instruments = tuple(
        Instrument(id, unusable="expired" if dead else None, blocked=blocked) for id, dead, blocked in methods
    )
    wallet = Wallet("A", default, instruments)
    given = terms(fixed(3, "MINUTES", 5), alternate=alternate, hard=hard)
    planned = after(failure, given, count, wallet)
    if isinstance(planned, GiveUp):
        return
    chosen = wallet.of(planned.method_id)
    assert chosen is not None
    assert chosen.unusable is None
    assert chosen.method_id == "A" or (alternate and not chosen.blocked)
    assert not (failure.never_retry and chosen.method_id == failure.method_id)
    assert planned.is_alternate == (chosen.method_id != "A")


# -- the alternate method


def test_without_another_method_the_last_attempt_is_with_the_same() -> None:
    planned = after(SOFT, terms(fixed(3, "MINUTES", 5), alternate=True), 4, ALONE)
    assert isinstance(planned, RetryAt)
    assert (planned.method_id, planned.is_alternate) == ("A", False)


@pytest.mark.parametrize(
    ("dead", "expected"), [((), "B"), (("B",), "D"), (("B", "D"), "C"), (("B", "C", "D"), "A")]
)
def test_methods_that_cannot_be_charged_are_passed_over(dead: tuple[str, ...], expected: str) -> None:
    methods = tuple(Instrument(id, unusable="expired" if id in dead else None) for id in "ABCD")
    planned = after(SOFT, terms(fixed(3, "MINUTES", 5), alternate=True), 4, Wallet("A", "B", methods))
    assert isinstance(planned, RetryAt)
    assert planned.method_id == expected


def test_an_own_method_that_cannot_be_charged_makes_way_at_once() -> None:
    methods = (Instrument("A", unusable="expired"), Instrument("B"))
    planned = after(SOFT, terms(fixed(3, "MINUTES", 5), alternate=True), 0, Wallet("A", "A", methods))
    assert isinstance(planned, RetryAt)
    assert (planned.method_id, planned.is_last) == ("B", False)
    ended = after(SOFT, terms(fixed(3, "MINUTES", 5)), 0, Wallet("A", "A", methods))
    assert isinstance(ended, GiveUp)
    assert ended.reason == "NO_USABLE_METHOD"


def test_a_late_failure_notice_is_tried_again_one_unit_from_now() -> None:
    now = T + 5 * DAY
    planned = decide_next(SOFT, Progress(T), terms(fixed(6, "HOURS", 3)), ALONE, now)
    assert isinstance(planned, RetryAt)
    assert planned.at == now + HOUR


def test_the_attempts_of_a_cycle_follow_each_other() -> None:
    given, at, planned = terms(staggered("DAYS", 1, 3, 7)), [T], T
    for count in range(3):
        following = decide_next(SOFT._replace(at=planned), Progress(T, count), given, ALONE, planned)
        assert isinstance(following, RetryAt)
        planned = following.at
        at.append(planned)
    assert [later - earlier for earlier, later in pairwise(at)] == [DAY, 2 * DAY, 4 * DAY]


# -- what networks advise


WAIT = Wait(T + 2 * DAY, "26")


def advised(wait: Wait | None, *others: Instrument) -> Wallet:
    return Wallet("A", "A", (Instrument("A", "Mastercard", wait=wait), *others))


def test_a_card_is_not_tried_before_its_network_says() -> None:
    planned = after(SOFT, terms(fixed(1, "HOURS", 3)), wallet=advised(WAIT))
    assert isinstance(planned, RetryAt)
    assert planned.at == WAIT.until
    assert planned.why[-1] == "its network says to wait (26): not before"


def test_a_longer_interval_stands() -> None:
    planned = after(SOFT, terms(fixed(3, "DAYS", 3)), wallet=advised(WAIT))
    assert isinstance(planned, RetryAt)
    assert planned.at == T + 3 * DAY
    assert not any("to wait" in why for why in planned.why)


def test_the_window_and_the_caps_count_after_the_advice() -> None:
    window = RetryWindow(from_hour=10, to_hour=12, time_zone="UTC")
    hours = hours_of(window, "UTC")
    at = replace(terms(fixed(1, "HOURS", 3)), hours=hours)
    planned = after(SOFT, at, wallet=advised(WAIT))
    assert isinstance(planned, RetryAt)
    assert planned.at == datetime(2026, 3, 4, 10, tzinfo=UTC)
    capped = Instrument("A", "Mastercard", attempts=(T,), wait=WAIT)
    allowed = after(
        SOFT,
        terms(fixed(1, "HOURS", 3), network_caps=("mastercard 1/30d",)),
        wallet=Wallet("A", "A", (capped,)),
    )
    assert isinstance(allowed, RetryAt)
    assert allowed.at == T + 30 * DAY


def test_another_method_need_not_wait() -> None:
    planned = after(HARD, terms(fixed(1, "HOURS", 3), alternate=True), wallet=advised(WAIT, Instrument("B")))
    assert isinstance(planned, RetryAt)
    assert (planned.method_id, planned.at) == ("B", T + HOUR)
