"""A whole Tender on this machine: up, hit, still there, and gone when it is stopped."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import httpx

from services.running import stack
from services.running.kafka_admin import cluster_id, wait_for_broker
from services.settings import Settings


def settings(folder: Path) -> Settings:
    return Settings(data_dir=folder / "tender", http_port=0, topic_partitions=3)


async def is_ready(running: stack.Stack) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"{running.http_url}/ready")).status_code == 200
        except httpx.HTTPError:
            return False


async def test_every_role_is_up_when_it_says_so_and_none_is_left_after_it(tmp_path: Path) -> None:
    async with stack.running(settings(tmp_path)) as running:
        assert await is_ready(running)
        children = list(running.supervisor.children.values())
        processes = [child.process for child in children if child.process is not None]
        assert {child.name for child in children} == {"simulator", *stack.GROUPS}
        assert [process.returncode for process in processes] == [None] * len(children)
    assert None not in [process.returncode for process in processes]
    assert [child.restarts for child in children] == [0] * len(children)


async def test_a_server_of_the_users_own_is_not_started_beside_it(tmp_path: Path, database_url: str) -> None:
    own = settings(tmp_path).model_copy(update={"database_url": database_url})
    async with stack.running(own, groups={}) as running:
        assert running.settings.database_url == database_url
        assert running.settings.clock_file is None  # its time is everybody's
        assert running.embedded is not None
        assert running.embedded.broker.pid
        assert not (tmp_path / "tender" / "postgres").exists()


async def test_a_role_that_is_killed_is_started_again(tmp_path: Path) -> None:
    async with stack.running(settings(tmp_path)) as running:
        http = running.supervisor.children["http"]
        assert http.process is not None
        os.kill(http.process.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while http.restarts == 0 or not await is_ready(running):
                await asyncio.sleep(0.05)


async def test_roles_begin_anew_when_the_broker_is_another_cluster(tmp_path: Path) -> None:
    async with stack.running(settings(tmp_path)) as running:
        servers = running.settings.kafka_bootstrap_servers or ""
        before = await cluster_id(servers)
        endpoints = tmp_path / "tender" / "endpoints.json"
        os.kill(_pid_of_broker(servers), signal.SIGKILL)
        children = running.supervisor.children
        async with asyncio.timeout(90):
            while not (children["worker"].restarts and children["relay"].restarts):
                await asyncio.sleep(0.05)
        await wait_for_broker(servers)  # the roles end before it is started again
        after = await cluster_id(servers)
        assert after != before
        async with asyncio.timeout(30):  # told to others once we have seen that it answers
            while after not in endpoints.read_text():
                await asyncio.sleep(0.05)


def _pid_of_broker(bootstrap_servers: str) -> int:
    """Our own child that listens there: found by its arguments, among the children of this process."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    (pid,) = (
        int(child)
        for child in children
        if f"--listener-url=tcp://{bootstrap_servers}" in Path(f"/proc/{child}/cmdline").read_text()
    )
    return pid
