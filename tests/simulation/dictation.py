"""What a seed's users say in fair weather: each command decided before the next, and no gateway answers."""

from __future__ import annotations

from datetime import datetime
from itertools import chain

from services.commands import Command, decode
from services.handler import Handler
from services.subjects import SUBJECTS
from tests.simulation.bank import Bank
from tests.simulation.faulty import Weather
from tests.simulation.virtual_loop import START
from tests.simulation.watch import Told, Watch, WatchedStore
from tests.simulation.words import WORDS
from tests.simulation.workload import Said, Users, record, setup


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        return START


async def dictation(seed: int, count: int) -> tuple[list[Said], list[Said]]:
    """The tenant's commands, and its users': the same for the same seed."""
    watch, clock, weather = Watch(Told()), Still(), Weather(seed)
    handler = Handler(WatchedStore(watch, now=clock.now), SUBJECTS, clock)
    bank = Bank(seed, False, weather, clock)
    users = Users(seed, watch, bank)
    tenant, said = list(setup(bank)), list[Said]()
    await handler.handle([command_of(each) for each in tenant])
    for each in chain(users.beginnings(), (users.next(WORDS) for _ in range(count))):
        said.append(each)
        await handler.handle([command_of(each)])
    assert not watch.broken, watch.broken
    return tenant, said


def command_of(said: Said) -> Command:
    return decode(*record(said))
