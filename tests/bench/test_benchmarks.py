"""The benchmarks measure what they say, on a small stream; how fast it was is no matter of a test."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from services.bench.gateway import gateway
from services.bench.idle import ROLES, idle
from services.bench.importing import importing
from services.bench.latency import latency
from services.bench.reading import reading
from services.bench.runs import planning, running
from services.bench.spine import spine
from services.bench.stream import PER_HUNDRED, expected_balances, measured


def test_the_stream_has_the_mix_that_it_names() -> None:
    stream = list(measured(4, accounts=2))
    assert len(stream) == 4 * sum(PER_HUNDRED.values()) == 400
    assert Counter(made.expected for made in stream) == {"ACCEPTED": 392, "REJECTED": 8}
    assert len({made.command_id for made in stream}) == 400 - 4 * 3, "three of a hundred are repeats"
    assert len(expected_balances(4)) == 4 * PER_HUNDRED["post"]


def test_accounts_take_turns() -> None:
    stream = list(measured(4, accounts=2))
    assert [made.key for made in stream[:4]] == [b"bench/A0", b"bench/A1"] * 2


@pytest.mark.parametrize("past", [0, 5_000])
async def test_every_command_of_the_spine_is_found_where_it_belongs(tmp_path: Path, past: int) -> None:
    told = await spine(tmp_path, commands=400, accounts=4, past=past)
    assert (told.commands, told.wrong) == (400, dict.fromkeys(told.wrong, 0))
    assert len(told.table) == 4


async def test_latency_hears_of_every_command(tmp_path: Path) -> None:
    told = await latency(tmp_path, rate=100, seconds=1)
    assert len(told.spine) == len(told.bare) == 100


async def test_reading_rebuilds_what_it_finds(tmp_path: Path) -> None:
    told = await reading(tmp_path, commands=200, seconds=0.2)
    assert told.events > 400
    assert min(told.tender_requests, told.bare_requests) > 0


async def test_every_imported_row_is_found_where_it_belongs(tmp_path: Path) -> None:
    told = await importing(tmp_path, rows=450, accounts=4)
    assert (told.rows, told.wrong) == (450, {"facts": 0, "claims": 0})
    assert told.copied_rows > 3 * 450
    assert len(told.table) == 2


async def test_a_gateway_worker_hands_back_what_it_has_called(tmp_path: Path) -> None:
    told = await gateway(tmp_path, in_air=50, delay_milliseconds=50, seconds=1)
    assert told.most <= 50
    assert min(told.calls_a_second, told.bare_calls_a_second) > 0
    assert set(told.cpu_microseconds) == {"worker", "the gateway", "PostgreSQL"}
    assert len(told.table) == 4


async def test_what_is_planned_is_there_while_nothing_is_due(tmp_path: Path) -> None:
    told = await idle(tmp_path, items=2_000, schedulers=5, seconds=1)
    assert (told.items, told.timers, told.schedulers) == (2_001, 2_005, 5)
    assert set(told.full) == set(told.empty) == {*ROLES, "PostgreSQL", "the broker"}
    assert len(told.table) == len(told.full) + 1


async def test_every_item_of_a_run_is_found_where_it_belongs(tmp_path: Path) -> None:
    told = await running(tmp_path, items=30, in_air=10, delay_milliseconds=20)
    assert told.wrong == dict.fromkeys(told.wrong, 0)
    assert told.minimum_seconds == 0.06
    assert min(told.seconds, told.bare_seconds, *told.steps.values()) > 0


async def test_planning_takes_what_the_criteria_say(tmp_path: Path) -> None:
    told = await planning(tmp_path, items=3_000)
    assert [(each.due, each.taken) for each in told.measured] == [(300, 100), (3_000, 2_000)]
