"""What a process of ours holds on to while it lives: its children, and a folder that is its alone.

Both end with it, however it ends: the kernel tells the children when their parent is gone (on Linux),
and a lock on an open file goes with the process that held it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from pwd import struct_passwd
from typing import IO

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork


def tied_child(
    ending: signal.Signals = signal.SIGTERM, user: struct_passwd | None = None
) -> Callable[[], None]:
    """What a child does before its program runs: hear of our end by a signal, and become `user`.

    It gets a process group of its own, so that Ctrl-C reaches us and we end our children in order.
    The signal comes when the *thread* that started the child ends: start children from the main
    one.  Elsewhere than on Linux a killed parent leaves its children; the next start ends them.
    """
    parent = os.getpid()

    def before_program() -> None:
        os.setpgid(0, 0)
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.umask(0o077)
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(ending), 0, 0, 0)  # becoming a user would clear it: last
            if os.getppid() != parent:
                os._exit(1)  # the parent was gone before it could be watched

    return before_program


class FolderInUse(Exception):
    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(f"{folder} is in use by process {holder or 'unknown'}; stop it, or choose another")
        self.folder, self.holder = folder, holder


class FolderLock:
    """A folder that one process holds at a time, from `acquire` to `release` or its death."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the folder, made if there is none; `FolderInUse` where another process holds it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = (self._folder / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            file.close()
            raise FolderInUse(self._folder, holder) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def is_held(folder: Path) -> bool:
    """Whether some process holds the folder now."""
    lock = FolderLock(folder)
    if not (folder / "lock").exists():
        return False
    try:
        lock.acquire()
    except FolderInUse:
        return True
    lock.release()
    return False
