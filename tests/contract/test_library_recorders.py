"""The `eventsourcing` library's own tests of recorders, all of them, on our store; and its Application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    ProcessRecorderTestCase,
    TrackingRecorderTestCase,
)

from services.embedded import EmbeddedPostgres
from services.store.facade import TenderAggregateRecorder, TenderRecorder
from tests.fixtures.database import own_database


class OnOurStore:
    """Gives every test of a case a database of its own."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres: EmbeddedPostgres) -> Iterator[None]:
        self._recorders: list[TenderRecorder] = []
        with asyncio.Runner() as runner:
            database = own_database(postgres)
            self._url = runner.run(database.__aenter__())
            yield
            for recorder in self._recorders:
                recorder.close()
            runner.run(database.__aexit__(None, None, None))

    def create_recorder(self) -> Any:
        recorder = TenderRecorder(self._url, migrated=True)
        self._recorders.append(recorder)
        return recorder


class TestAggregateRecorder(OnOurStore, AggregateRecorderTestCase):
    def create_recorder(self) -> Any:
        recorder = TenderAggregateRecorder(self._url, migrated=True)
        self._recorders.append(recorder)
        return recorder


class TestApplicationRecorder(OnOurStore, ApplicationRecorderTestCase[Any]):
    pass


class TestTrackingRecorder(OnOurStore, TrackingRecorderTestCase):
    pass


class TestProcessRecorder(OnOurStore, ProcessRecorderTestCase):
    pass


class TestNonInterleavingNotificationIds(OnOurStore, NonInterleavingNotificationIDsBaseCase):
    insert_num = 500


del AggregateRecorderTestCase, ApplicationRecorderTestCase, NonInterleavingNotificationIDsBaseCase
del ProcessRecorderTestCase, TrackingRecorderTestCase


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class Dogs(Application[Any]):
    pass


async def test_the_librarys_application_runs_on_our_store(database_url: str) -> None:
    env = {"PERSISTENCE_MODULE": "services.store.facade", "TENDER_DATABASE_URL": database_url}
    dogs = await asyncio.to_thread(Dogs, env)
    try:
        dog = Dog("Fido")
        dog.add_trick("roll over")
        await asyncio.to_thread(dogs.save, dog)
        again: Dog = await asyncio.to_thread(dogs.repository.get, dog.id)
        assert (again.name, again.tricks, again.version) == ("Fido", ["roll over"], 2)
        section = await asyncio.to_thread(dogs.notification_log.select, 1, 10)
        assert [notification.id for notification in section] == [1, 2]
    finally:
        await asyncio.to_thread(dogs.close)
