"""The `eventsourcing` library's own tests of recorders, all of them, on our store; and its Application."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
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


async def _execute(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


class OnOurStore:
    """Gives every test of a case a database of its own."""

    @pytest.fixture(autouse=True)
    def _database(self, postgres: EmbeddedPostgres) -> Iterator[None]:
        self._name = f"t{uuid4().hex[:12]}"
        self._recorders: list[TenderRecorder] = []
        asyncio.run(_execute(postgres.database_url, f"create database {self._name} template migrated"))
        self._url = postgres.url_of(self._name)
        yield
        for recorder in self._recorders:
            recorder.close()
        asyncio.run(_execute(postgres.database_url, f"drop database {self._name} with (force)"))

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
