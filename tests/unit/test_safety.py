"""Lanes: how much one gateway is sent, by time, by limits, and by how it answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.calls.safety import LONGEST_PAUSE_SECONDS, Lane, Limits, Signal

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_so_many_are_in_the_air_and_no_more() -> None:
    lane = Lane(Limits(at_once=2))
    assert lane.room(NOW) == 2
    lane.begin(NOW)
    lane.begin(NOW)
    assert (lane.room(NOW), lane.full, lane.next_at(NOW)) == (0, True, None)
    lane.end(NOW, "Success")
    assert (lane.room(NOW), lane.full) == (1, False)


def test_no_second_has_many_more_calls_than_the_rate_allows() -> None:
    lane = Lane(Limits(at_once=1000, per_second=100))
    begun: list[float] = []
    for tick in range(3000):
        at = tick / 1000
        for _ in range(lane.room(after(at))):
            lane.begin(after(at))
            begun.append(at)
            lane.end(after(at), "Success")
    windows = [sum(begin <= at < begin + 1 for at in begun) for begin in begun if begin <= 2]
    assert max(windows) <= 110
    assert len(begun) >= 295


def test_a_slow_rate_says_when_the_next_may_go() -> None:
    lane = Lane(Limits(at_once=10, per_second=0.5))
    assert lane.room(NOW) == 1
    lane.begin(NOW)
    assert (lane.room(NOW), lane.next_at(NOW)) == (0, after(2))
    assert lane.room(after(1.9)) == 0
    assert lane.room(after(2)) == 1


def test_it_is_left_alone_after_so_many_calls_without_an_answer_and_then_tried_by_one() -> None:
    lane = Lane(Limits(at_once=50, failures_max=3))
    told = []
    for _ in range(5):
        lane.begin(NOW)
    for _ in range(5):
        told.append(lane.end(NOW, "Indeterminate"))
    assert told == [None, None, Signal("OPEN", "no answer to 3 calls in a row", 30), None, None]
    assert (lane.room(after(29)), lane.next_at(after(29))) == (0, after(30))
    assert lane.room(after(30)) == 1


def test_a_failing_try_leaves_it_alone_for_longer_up_to_a_limit() -> None:
    lane = Lane(Limits(at_once=50, failures_max=1))
    at, pauses = NOW, []
    for _ in range(6):
        lane.begin(at)
        signal = lane.end(at, "SystemError")
        assert signal is not None
        assert signal.kind == "OPEN"
        pauses.append(signal.seconds)
        at += timedelta(seconds=signal.seconds)
    assert pauses == [30, 60, 120, 240, LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS]


def test_any_answer_makes_it_well_again() -> None:
    lane = Lane(Limits(at_once=50, failures_max=1))
    lane.begin(NOW)
    lane.end(NOW, "SystemError")
    lane.begin(after(30))
    assert lane.end(after(30), "Decline") == Signal("CLOSE", "it answers again")
    assert lane.room(after(30)) == 50


def test_answers_between_failures_keep_it_well() -> None:
    lane = Lane(Limits(at_once=50, failures_max=2))
    for code in ("Indeterminate", "Decline", "SystemError", "Success", "Indeterminate"):
        lane.begin(NOW)
        assert lane.end(NOW, code) is None
    assert lane.room(NOW) == 50


def test_a_gateway_that_is_busy_gets_the_pause_that_it_asks_for_and_is_not_ill() -> None:
    lane = Lane(Limits(at_once=50, failures_max=1))
    lane.begin(NOW)
    assert lane.end(NOW, "SystemError", retry_after_seconds=7) is None
    assert (lane.room(after(6)), lane.next_at(NOW)) == (0, after(7))
    assert lane.room(after(7)) == 50


def test_without_a_limit_of_failures_only_people_open_a_circuit() -> None:
    lane = Lane(Limits(at_once=50, failures_max=0))
    for _ in range(100):
        lane.begin(NOW)
        assert lane.end(NOW, "Indeterminate") is None


def test_who_comes_to_an_open_circuit_tries_it_out_when_it_is_time() -> None:
    lane = Lane(Limits(at_once=50))
    assert lane.meet(after(20))
    assert (lane.room(NOW), lane.room(after(20))) == (0, 1)
    assert not lane.meet(after(99)), "once: its own eyes count from then on"
    lane.begin(after(20))
    assert lane.end(after(20), "Success") == Signal("CLOSE", "it answers again")


def test_ahead_of_a_quick_gateway_half_of_its_calls_are_leased_and_of_no_other() -> None:
    lane = Lane(Limits(at_once=100))
    for _ in range(100):
        lane.begin(NOW)
    assert lane.ahead(NOW) == 0, "nobody knows yet what its calls take"
    lane.end(NOW, "Success", seconds=0.2)
    assert lane.ahead(NOW) == 49
    for _ in range(30):
        lane.end(NOW, "Success", seconds=9.0)
        lane.begin(NOW)
    assert lane.ahead(NOW) == 0
    limited = Lane(Limits(at_once=100, per_second=10), usual_seconds=0.1, in_air=100)
    assert limited.ahead(NOW) == 0
    ill = Lane(Limits(at_once=100), usual_seconds=0.1, in_air=100, not_before=after(5))
    assert ill.ahead(NOW) == 0
