"""The embedded stack survives what happens to it: stops, kills, restarts, a second one."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownError

from services.embedded import (
    EmbeddedBroker,
    EmbeddedFailed,
    EmbeddedStack,
    Endpoints,
    FolderInUse,
    running_endpoints,
)
from services.running.kafka_admin import cluster_id
from services.running.lifeline import is_held

TOPICS = {"commands": 4, "events": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tender"


async def query(endpoints: Endpoints, statement: str) -> object:
    connection = await asyncpg.connect(endpoints.database_url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def until(holds: Callable[[], bool | Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            answer = holds()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


async def test_what_was_stored_is_there_after_a_stop_and_a_start(folder: Path) -> None:
    async with EmbeddedStack(folder) as stack:
        await query(stack.endpoints, "create table kept as select 42 as answer")
    async with EmbeddedStack(folder) as stack:
        assert await query(stack.endpoints, "select answer from kept") == 42
        assert str(await query(stack.endpoints, "show server_version")).startswith("18.")


async def test_the_topics_exist_with_their_partitions_when_it_is_up(folder: Path) -> None:
    async with EmbeddedStack(folder, TOPICS) as stack, producer(stack.endpoints) as sending:
        found = {topic: len(await sending.partitions_for(topic)) for topic in TOPICS}
    assert found == TOPICS


async def test_each_start_is_a_new_cluster(folder: Path) -> None:
    async with EmbeddedStack(folder) as stack:
        first = await cluster_id(stack.endpoints.kafka_bootstrap_servers)
        assert first == stack.endpoints.cluster_id
    async with EmbeddedStack(folder) as stack:
        assert await cluster_id(stack.endpoints.kafka_bootstrap_servers) != first


async def test_a_second_stack_is_refused_and_told_who_has_the_folder(folder: Path) -> None:
    async with EmbeddedStack(folder):
        with pytest.raises(FolderInUse, match=str(os.getpid())):
            await EmbeddedStack(folder).start()
        assert is_held(folder)
    assert not is_held(folder)


async def test_it_says_where_it_is_only_while_it_runs(folder: Path) -> None:
    async with EmbeddedStack(folder) as stack:
        assert running_endpoints(folder) == stack.endpoints
        left_behind = (folder / "endpoints.json").read_text()
    assert running_endpoints(folder) is None
    (folder / "endpoints.json").write_text(left_behind)
    assert running_endpoints(folder) is None


async def test_a_killed_postgres_is_back_with_what_was_committed(watched: Watched) -> None:
    stack = watched.stack
    await query(stack.endpoints, "create table kept as select 7 as answer")
    before = stack.postgres.pid
    os.kill(before, signal.SIGKILL)
    await until(lambda: watched.restarts == ["postgres"])
    assert stack.postgres.pid != before
    assert await query(stack.endpoints, "select answer from kept") == 7


async def test_a_killed_broker_is_back_at_its_address_as_a_new_cluster(watched: Watched) -> None:
    before = watched.stack.endpoints
    os.kill(watched.stack.broker.pid, signal.SIGKILL)
    await until(lambda: watched.restarts == ["broker"])
    after = watched.stack.endpoints
    assert after.kafka_bootstrap_servers == before.kafka_bootstrap_servers
    assert after.cluster_id != before.cluster_id
    assert running_endpoints(watched.stack.folder) == after
    async with producer(after) as sending:
        assert len(await sending.partitions_for("commands")) == TOPICS["commands"]


async def test_a_broker_is_not_started_again_before_its_loss_was_dealt_with(folder: Path) -> None:
    may_go_on, told = asyncio.Event(), list[str]()

    async def deal_with_it() -> None:
        told.append(stack.endpoints.cluster_id)
        await may_go_on.wait()

    async with EmbeddedStack(folder) as stack:
        first = stack.endpoints.cluster_id
        watching = asyncio.create_task(stack.watch(on_broker_loss=deal_with_it))
        os.kill(stack.broker.pid, signal.SIGKILL)
        await until(lambda: told == [first])
        await asyncio.sleep(0.2)
        assert stack.endpoints.cluster_id == first
        may_go_on.set()
        await until(lambda: stack.endpoints.cluster_id != first)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_a_stop_while_it_is_watched_restarts_nothing(folder: Path) -> None:
    restarts: list[str] = []
    async with EmbeddedStack(folder) as stack:
        watching = asyncio.create_task(
            stack.watch(lambda: restarts.append("p"), lambda: restarts.append("b"))
        )
        await asyncio.sleep(0)
        pids = stack.postgres.pid, stack.broker.pid
    await watching
    assert restarts == []
    assert [pid for pid in pids if is_alive(pid)] == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends what a killed owner left")
async def test_a_kill_of_the_owner_takes_its_servers_along_and_the_next_start_finds_its_data(
    folder: Path,
) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    async with asyncio.timeout(60):
        pids = [int(pid) for pid in (await owner.stdout.readline()).split()]
    owner.kill()
    await owner.wait()
    async with EmbeddedStack(folder) as stack:
        assert await query(stack.endpoints, "select answer from kept") == 1
    await until(lambda: not any(is_alive(pid) for pid in pids))


async def test_a_server_that_outlived_its_owner_is_ended_by_the_next_start(folder: Path) -> None:
    first = EmbeddedStack(folder)
    await first.start()
    outlived = first.postgres.pid
    first._lock.release()  # as if the owner were gone and its child had not heard of it
    async with EmbeddedStack(folder) as stack:
        assert stack.postgres.pid != outlived
        assert not is_alive(outlived)
    await first.broker.stop()


async def test_a_cluster_half_made_by_a_killed_start_is_made_anew(folder: Path) -> None:
    half_made = folder / "postgres-half"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    async with EmbeddedStack(folder) as stack:
        assert await query(stack.endpoints, "select 1") == 1
    assert not half_made.exists()


async def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    async with EmbeddedStack(tmp_path / ("deep" * 20) / "tender") as stack:
        assert "deep" not in stack.endpoints.database_url
        assert await query(stack.endpoints, "select 1") == 1


async def test_a_broker_that_cannot_start_fails_with_what_it_said(tmp_path: Path) -> None:
    async with EmbeddedBroker(tmp_path) as first:
        port = int(first.bootstrap_servers.rpartition(":")[2])
        with pytest.raises(EmbeddedFailed, match="broker did not come up"):
            await EmbeddedBroker(tmp_path / "second", port=port).start()


async def test_the_broker_refuses_idempotent_producers(folder: Path) -> None:
    """Should this fail one day, the embedded producers may be idempotent too."""
    async with EmbeddedStack(folder, TOPICS) as stack:
        idempotent = AIOKafkaProducer(
            bootstrap_servers=stack.endpoints.kafka_bootstrap_servers, enable_idempotence=True
        )
        with pytest.raises(UnknownError):
            await idempotent.start()
        await idempotent.stop()


_OWNER = """
import asyncio, sys
from pathlib import Path
import asyncpg
from services.embedded import EmbeddedStack

async def main():
    async with EmbeddedStack(Path(sys.argv[1])) as stack:
        connection = await asyncpg.connect(stack.endpoints.database_url)
        await connection.execute("create table kept as select 1 as answer")
        print(stack.postgres.pid, stack.broker.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def producer(endpoints: Endpoints) -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers=endpoints.kafka_bootstrap_servers)


class Watched:
    """A stack that starts its servers again, and a list of which it did."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self.stack = stack
        self.restarts: list[str] = []

    async def watch(self) -> None:
        await self.stack.watch(
            lambda: self.restarts.append("postgres"), lambda: self.restarts.append("broker")
        )


@pytest.fixture
async def watched(folder: Path) -> AsyncIterator[Watched]:
    async with EmbeddedStack(folder, TOPICS) as stack:
        watched = Watched(stack)
        watching = asyncio.create_task(watched.watch())
        await asyncio.sleep(0)
        yield watched
        watching.cancel()
        await asyncio.wait([watching])
