"""Child processes, one per role: started, watched, started again, and stopped with us.

A role that dies is started again after a growing pause; `stop` asks each to end, by its own pid,
and only a child that does not hear within `STOP_SECONDS` is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from services.running.lifeline import tied_child

STOP_SECONDS = 15.0
PAUSE_SECONDS_MAX = 10.0
STEADY_SECONDS = 30.0
"""A child that ran this long has recovered: its next pause is short again."""


@dataclass
class Child:
    name: str
    command: Sequence[str]
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)
    ends_last: bool = False
    """Others still talk to it while they end."""


class Supervisor:
    def __init__(
        self, environment: Mapping[str, str], logs: Path, on_change: Callable[[Child], None] = lambda _: None
    ) -> None:
        self.environment = {**os.environ, **environment}
        self._logs, self._on_change = logs, on_change
        self.children: dict[str, Child] = {}
        self._stopping = False

    async def start(self, name: str, command: Sequence[str], *, ends_last: bool = False) -> Child:
        """Start a child under a name; its output goes to `{logs}/{name}.log`."""
        child = Child(name, command, ends_last=ends_last)
        self.children[name] = child
        await self._spawn(child)
        child.watcher = asyncio.create_task(self._watch(child), name=f"watch {name}")
        return child

    async def stop(self) -> None:
        self._stopping = True
        for child in reversed(self.children.values()):
            if child.watcher:
                child.watcher.cancel()
        for last in (False, True):
            ending = [child for child in self.children.values() if child.ends_last is last]
            await asyncio.gather(*(self._end(child) for child in ending))

    async def restart(self, names: Iterable[str]) -> None:
        """Kill children, and return once they are gone; each is started again as if it had died."""
        processes = [child.process for name in names if (child := self.children.get(name))]
        living = [process for process in processes if process and process.returncode is None]
        for process in living:
            process.kill()
        await asyncio.gather(*(process.wait() for process in living))

    async def _spawn(self, child: Child) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        with (self._logs / f"{child.name}.log").open("ab") as log:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                env=self.environment,
                preexec_fn=tied_child(),
            )
        self._on_change(child)

    async def _watch(self, child: Child) -> None:
        loop, pause = asyncio.get_running_loop(), 0.1
        while not self._stopping:
            assert child.process is not None
            since = loop.time()
            await child.process.wait()
            if loop.time() - since > STEADY_SECONDS:
                pause = 0.1
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
            child.restarts += 1
            await self._spawn(child)

    async def _end(self, child: Child) -> None:
        process = child.process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def module_command(module: str, *arguments: str) -> list[str]:
    """How a process that runs one of our modules is started; never one of that name in the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def role_command(*roles: str) -> list[str]:
    """How a process that runs these roles is started."""
    return module_command("services.roles", *roles)
