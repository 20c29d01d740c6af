"""A supervised child is started again when it dies, and dies with its supervisor, however that ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from services.running.supervisor import Supervisor, module_command

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


def is_alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "\nState:\tZ" not in status.read_text()


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while is_alive(pid):
            await asyncio.sleep(0.01)


async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    supervisor = Supervisor({}, tmp_path)
    child = await supervisor.start("sleeper", SLEEPER)
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    async with asyncio.timeout(10):
        while child.process.pid == first:
            await asyncio.sleep(0.01)
    second = child.process.pid
    assert is_alive(second)
    await supervisor.stop()
    assert not is_alive(second)
    assert child.restarts == 1


async def test_a_restarted_child_is_gone_before_the_next_begins(tmp_path: Path) -> None:
    supervisor = Supervisor({}, tmp_path)
    child = await supervisor.start("sleeper", SLEEPER)
    other = await supervisor.start("other", SLEEPER)
    assert child.process is not None
    assert other.process is not None
    first, untouched = child.process.pid, other.process.pid
    await supervisor.restart(["sleeper", "nobody"])
    assert not is_alive(first)
    async with asyncio.timeout(10):
        while child.process.pid == first:
            await asyncio.sleep(0.01)
    assert other.process.pid == untouched
    await supervisor.stop()


async def test_a_child_is_told_its_environment_and_its_words_are_kept(tmp_path: Path) -> None:
    supervisor = Supervisor({"GREETING": "hello"}, tmp_path)
    await supervisor.start("speaker", [sys.executable, "-c", "import os; print(os.environ['GREETING'])"])
    async with asyncio.timeout(10):
        while "hello" not in (tmp_path / "speaker.log").read_text():
            await asyncio.sleep(0.01)
    await supervisor.stop()


async def test_whom_others_still_talk_to_ends_when_they_have(tmp_path: Path) -> None:
    supervisor = Supervisor({}, tmp_path)
    talked_to = await supervisor.start("talked to", SLEEPER, ends_last=True)
    assert talked_to.process is not None
    await supervisor.start("talking", [sys.executable, "-c", _LINGERS, str(talked_to.process.pid)])
    async with asyncio.timeout(10):
        while "ready" not in (tmp_path / "talking.log").read_text():
            await asyncio.sleep(0.01)
    await supervisor.stop()
    assert "still there" in (tmp_path / "talking.log").read_text()
    assert not is_alive(talked_to.process.pid)


async def test_a_module_is_ours_whatever_the_current_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('of somebody else')")
    monkeypatch.chdir(tmp_path)
    process = await asyncio.create_subprocess_exec(*module_command("services.roles"), stderr=PIPE)
    _, told = await process.communicate()
    assert b"name one or more of: " in told


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's end")
async def test_a_killed_supervisor_takes_its_children_along(tmp_path: Path) -> None:
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OWNER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    async with asyncio.timeout(20):
        pid = int(await owner.stdout.readline())
    assert is_alive(pid)
    owner.kill()
    await owner.wait()
    await until_gone(pid)


_LINGERS = """
import os, signal, sys, time

def end(*_):
    time.sleep(0.3)
    os.kill(int(sys.argv[1]), 0)
    print("still there", flush=True)
    sys.exit()

signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
time.sleep(60)
"""

_OWNER = """
import asyncio, sys
from pathlib import Path
from services.running.supervisor import Supervisor, module_command

async def main():
    child = await Supervisor({}, Path(sys.argv[1])).start("sleeper", ["sleep", "60"])
    print(child.process.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
