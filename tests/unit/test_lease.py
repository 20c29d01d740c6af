"""A lease: one holder at a time, asked of the store only when it must be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.lease import SECONDS, Lease
from services.store.memory import MemoryStore
from tests.spec import Spec


class Asked(MemoryStore):
    """Counts how often the lease was asked for."""

    asked = 0

    async def acquire_lease(self, *given: object) -> bool:
        self.asked += 1
        return await super().acquire_lease(*given)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> Spec:
    return Spec()


@pytest.fixture
def store(clock: Spec) -> Asked:
    return Asked(now=clock.now)


async def test_only_one_holds_it(clock: Spec, store: Asked) -> None:
    first, second = (Lease(store, "relay", name, clock) for name in ("a", "b"))
    assert await first.held()
    assert not await second.held()


async def test_within_half_of_its_time_the_store_is_not_asked(clock: Spec, store: Asked) -> None:
    lease = Lease(store, "relay", "a", clock)
    assert await lease.held()
    clock.at(timedelta(seconds=SECONDS / 2 - 0.1))
    assert await lease.held()
    assert store.asked == 1
    clock.at(timedelta(seconds=0.1))
    assert await lease.held()
    assert store.asked == 2


async def test_a_lease_that_was_left_alone_goes_to_the_next(clock: Spec, store: Asked) -> None:
    first, second = (Lease(store, "relay", name, clock) for name in ("a", "b"))
    assert await first.held()
    clock.at(timedelta(seconds=SECONDS + 1))
    assert await second.held()
    assert not await first.held()


async def test_a_released_lease_is_free_at_once(clock: Spec, store: Asked) -> None:
    first, second = (Lease(store, "relay", name, clock) for name in ("a", "b"))
    assert await first.held()
    await first.release()
    assert await second.held()
