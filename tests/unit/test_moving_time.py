"""The clock that can be moved: one for all who map its file, never back; and what it may be asked."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from gateways.simulator.core import Entry, Simulator
from gateways.simulator.moved_time import MovedTime
from gateways.simulator.sending import Sending
from services.clock import SystemClock, clock_in
from services.errors import Rejected
from services.http.clock import ClockFace
from services.moving_time import UnderWay, instant_of
from services.running.stack import TimeWasMoved, timed
from services.settings import Settings
from tests.spec import NOW


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


def test_it_is_the_machine_s_time_until_somebody_moves_it(tmp_path: Path) -> None:
    moved = MovedTime(tmp_path / "clock")
    assert moved.ahead == timedelta(0)
    before = datetime.now(UTC)
    assert before <= moved.now() <= datetime.now(UTC)
    assert isinstance(clock_in(None), SystemClock)


def test_who_moves_it_moves_it_for_all_and_who_starts_again_finds_it_there(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    ours, theirs = MovedTime(file), MovedTime(file)
    there = in_days(92)
    ours.move_to(there)
    ours.target = there + timedelta(days=1)
    assert theirs.now() >= there
    assert theirs.target == ours.target
    read = (
        "import pathlib, sys; from gateways.simulator.moved_time import MovedTime; "
        "print(MovedTime(pathlib.Path(sys.argv[1])).now())"
    )
    command = [sys.executable, "-c", read, str(file)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert datetime.fromisoformat(told.strip()) >= there
    ours.target = None
    assert theirs.target is None


@pytest.mark.parametrize("days", [-1.0, 0.0, 4.9])
def test_it_is_never_moved_back(tmp_path: Path, days: float) -> None:
    moved = MovedTime(tmp_path / "clock")
    moved.move_to(in_days(5))
    ahead = moved.ahead
    moved.move_to(in_days(days))
    assert moved.ahead == ahead


def test_one_that_was_moved_runs_on_only_where_all_follow_it(tmp_path: Path) -> None:
    own = Settings(data_dir=tmp_path)
    file = timed(own).clock_file
    assert file == tmp_path / "clock"
    foreign = own.model_copy(update={"kafka_bootstrap_servers": "kafka:9092"})
    assert timed(foreign).clock_file is None
    MovedTime(file).move_to(in_days(5))
    assert timed(own).clock_file == file
    for change in ({"kafka_bootstrap_servers": "kafka:9092"}, {"simulator_url": "http://127.0.0.1:1"}):
        with pytest.raises(TimeWasMoved, match="was moved ahead"):
            timed(own.model_copy(update=change))
    elsewhere = own.model_copy(update={"database_url": "postgresql://db/tender"})
    assert timed(elsewhere).clock_file is None


@pytest.mark.parametrize(
    ("by", "after"),
    [("3d", timedelta(3)), ("12h", timedelta(hours=12)), ("90m", timedelta(minutes=90)),
     ("2w1d", timedelta(15)), ("1d 6h 30s", timedelta(1, 6 * 3600 + 30))],
)  # fmt: skip
def test_by_is_a_span(by: str, after: timedelta) -> None:
    assert instant_of(by, None, NOW) == NOW + after


@pytest.mark.parametrize(
    ("to", "instant"),
    [
        ("2026-12-01", datetime(2026, 12, 1, tzinfo=UTC)),
        ("2026-12-01T12:00:00Z", datetime(2026, 12, 1, 12, tzinfo=UTC)),
        ("2026-12-01T12:00:00+02:00", datetime(2026, 12, 1, 10, tzinfo=UTC)),
    ],
)
def test_to_is_a_day_or_an_instant(to: str, instant: datetime) -> None:
    assert instant_of(None, to, NOW) == instant


@pytest.mark.parametrize(
    ("by", "to", "code"),
    [(None, None, "MALFORMED_REQUEST"), ("3d", "2026-12-01", "MALFORMED_REQUEST"),
     ("3", None, "MALFORMED_REQUEST"), ("-3d", None, "MALFORMED_REQUEST"), ("", None, "MALFORMED_REQUEST"),
     ("9999999d", None, "MALFORMED_REQUEST"), (3, None, "MALFORMED_REQUEST"),
     (None, "2026-02-30", "DATE_INVALID"), (None, "tomorrow", "DATE_INVALID"),
     (None, "2026-12-01T12:00:00", "DATE_INVALID"), (None, {}, "DATE_INVALID")],
)  # fmt: skip
def test_what_is_no_time_is_refused(by: object, to: object, code: str) -> None:
    with pytest.raises(Rejected) as refused:
        instant_of(by, to, NOW)
    assert refused.value.code == code


async def test_where_something_is_not_embedded_nobody_moves_it() -> None:
    face = ClockFace(SystemClock(), None)
    told = face.told()
    assert (told["movable"], told["ahead_seconds"], told["moving_to"]) == (False, 0, None)
    for refused in (face.advance, face.stop):
        with pytest.raises(Rejected) as why:
            await refused(Request({"type": "http", "method": "POST", "path": "/v1/clock", "headers": []}))
        assert why.value.code == "CLOCK_NOT_MOVABLE"


def test_what_time_waits_for_is_told_by_name() -> None:
    due = UnderWay(2, 0, 0, 0, 1, 0, None)
    assert due.counts == {"commands": 2, "results": 1}


def pending(key: str, at: datetime, **more: Any) -> Entry:
    return Entry(key, "d", "SALE", 1000, "USD", "tok_x", f"sim_{key}", at.isoformat(), **more)


async def test_the_simulator_s_own_changes_and_its_letters_are_due_by_its_clock(tmp_path: Path) -> None:
    moved = MovedTime(tmp_path / "clock")
    sending = Sending("http://", "late_900000", moved.now)
    simulator = sending.simulator = Simulator(tell=sending.tell)
    assert sending.let_time_pass() == (0, None)
    at = moved.now()
    simulator.restore(pending("k", at, status="PENDING_OK", notify_url="http://here"))
    assert sending.let_time_pass().next_at == at + timedelta(seconds=2)
    moved.move_to(at + timedelta(seconds=2))
    under_way, next_at = sending.let_time_pass()
    assert simulator.entries["k"].status == "EXECUTED"
    assert under_way == 0
    assert next_at is not None
    assert next_at > at + timedelta(minutes=15)
    moved.move_to(next_at)
    assert sending.let_time_pass() == (1, None)
    await asyncio.sleep(0)


def test_a_reversal_is_a_change_of_its_own(tmp_path: Path) -> None:
    simulator, later = Simulator(), NOW + timedelta(days=40)
    simulator.restore(pending("k", NOW, status="EXECUTED", reversal_at=later.isoformat()))
    simulator.restore(pending("l", NOW, status="EXECUTED"))
    assert simulator.next_change() == later
    simulator.let_time_pass(later)
    assert [entry.status for entry in simulator.entries.values()] == ["REVERSED", "EXECUTED"]
    assert simulator.next_change() is None
