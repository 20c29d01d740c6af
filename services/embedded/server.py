"""A child process that is started again whenever it ends by itself, and stopped with us."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from pwd import struct_passwd
from typing import IO

from services.running.lifeline import tied_child

STOP_SECONDS = 20.0


class EmbeddedFailed(Exception):
    """A server of the stack did not come up; the message ends with what it said last."""


class Server:
    """One child process that is started again whenever it ends by itself."""

    name: str
    ending: signal.Signals = signal.SIGTERM

    def __init__(self, logs: Path) -> None:
        self._log = logs / f"{self.name}.log"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "started before anyone asks"
        return self._process.pid

    async def watch(
        self,
        on_restart: Callable[[], None] = lambda: None,
        on_loss: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Start the server again whenever it is gone; runs until it is stopped or this is cancelled.

        It is not started before `on_loss` has returned.
        """
        while (process := self._process) is not None:
            await process.wait()
            if self._process is not process:
                return  # it was stopped, not lost
            if on_loss:
                await on_loss()
            await self._launch()
            on_restart()

    async def stop(self) -> None:
        """End it and wait; kill it if it does not hear."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.ending)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _launch(self) -> None:
        raise NotImplementedError

    async def _run(
        self, command: Sequence[str], user: struct_passwd | None = None, cwd: Path | None = None
    ) -> asyncio.subprocess.Process:
        with opened(self._log) as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                preexec_fn=tied_child(self.ending, user),
            )
        return self._process

    async def _until(
        self,
        answers: Callable[[], Awaitable[object]],
        process: asyncio.subprocess.Process,
        not_yet: tuple[type[Exception], ...],
    ) -> bool:
        """Wait until the server answers (no `not_yet` raised): whether it did, or ended first."""
        while process.returncode is None:
            with contextlib.suppress(*not_yet):
                await answers()
                return True
            await asyncio.sleep(0.02)
        return False

    def _failure(self) -> EmbeddedFailed:
        said = self._log.read_text(errors="replace")[-2000:]
        return EmbeddedFailed(f"{self.name} did not come up; {self._log} ends with:\n{said}")


def opened(log: Path) -> IO[bytes]:
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")
