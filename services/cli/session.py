"""What every command of the CLI shares: settings, a running Tender, and how it ends without one."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import asyncpg
from aiokafka.errors import KafkaError
from cyclopts import Parameter
from pydantic import ValidationError

from projections.asking import BadQuery
from projections.models import TABLES
from projections.rows import PostgresRows
from services import bootstrap
from services.cli.output import errors
from services.clock import Clock
from services.embedded import EmbeddedFailed, FolderInUse
from services.errors import Rejected
from services.running import loop
from services.running.stack import attached
from services.settings import Settings
from services.store.postgres import PostgresStore
from services.store.protocol import StoreUnavailable

DataDir = Annotated[
    Path | None, Parameter(help="Where the embedded stack keeps its data. [default: .tender]")
]
Tenant = Annotated[str, Parameter(help="Whose: the tenant.")]
Verdicts = Annotated[Path | None, Parameter(help="Where the verdicts go. [default: FILE.verdicts.jsonl]")]


def verdicts_beside(file: Path) -> Path:
    """Where the verdicts on a file's rows go, unless it is said."""
    return file.with_suffix(file.suffix + ".verdicts.jsonl")


class Trouble(Exception):
    """What was asked for cannot be done as it was asked."""


TROUBLE = (
    Trouble, BadQuery, RuntimeError, OSError, FolderInUse, EmbeddedFailed, StoreUnavailable, KafkaError,
    Rejected, asyncpg.PostgresError, asyncpg.InterfaceError,
)  # fmt: skip
"""What a person can do something about: told in a sentence.  All else is a bug, and looks like one."""

FAILED, INTERRUPTED, TERMINATED = 1, 130, 143


def settings_of(data_dir: Path | None, **changes: Any) -> Settings:
    """The environment's settings, with what the command line says instead."""
    try:
        settings = Settings()
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        fail(f"TENDER_{'_'.join(map(str, first['loc'])).upper()}: {first['msg']}")
    given = {name: value for name, value in {"data_dir": data_dir, **changes}.items() if value is not None}
    return settings.model_copy(update=given)


def fail(why: str) -> NoReturn:
    errors.print(why, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(FAILED)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run it to its end.  Ctrl-C and SIGTERM let it tidy up first; trouble is told in a sentence."""
    try:
        return loop.run(_stoppable(main))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except asyncio.CancelledError:
        sys.exit(TERMINATED)
    except BaseExceptionGroup as several:
        known, bugs = several.split(TROUBLE)
        if bugs or known is None:
            raise
        fail(said(_first(known)))
    except TROUBLE as trouble:
        fail(said(trouble))


async def _stoppable(main: Coroutine[Any, Any, Any]) -> Any:
    here = asyncio.current_task()
    assert here is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, here.cancel)
    return await main


def _first(several: BaseExceptionGroup[Any]) -> BaseException:
    one = several.exceptions[0]
    return _first(one) if isinstance(one, BaseExceptionGroup) else one


def said(trouble: BaseException) -> str:
    """A sentence, also for exceptions that have none."""
    if isinstance(trouble, Rejected):
        where = trouble.field if trouble.field and trouble.field not in trouble.message else None
        return f"{trouble.code}: {f'{where}: ' if where else ''}{trouble.message}"
    if isinstance(trouble, StoreUnavailable):
        return f"PostgreSQL does not answer: {trouble}"
    return str(trouble) or type(trouble).__name__


def clock_of(data_dir: Path | None) -> Clock:
    """The time of the Tender that runs over the data folder: it may have been moved."""
    return bootstrap.clock(attached(settings_of(data_dir), bus=False))


@asynccontextmanager
async def attached_store(
    data_dir: Path | None, *, bus: bool = False
) -> AsyncIterator[tuple[Settings, PostgresStore]]:
    """The store of a running Tender, and the settings by which it, and its `bus`, is found."""
    settings = attached(settings_of(data_dir), bus=bus)
    async with bootstrap.store(settings) as store:
        yield settings, store


@asynccontextmanager
async def reading(data_dir: Path | None) -> AsyncIterator[tuple[PostgresStore, PostgresRows]]:
    """The store and the read models of a running Tender."""
    async with (
        attached_store(data_dir) as (settings, store),
        PostgresRows.connected(settings.database_url or "", TABLES) as rows,
    ):
        yield store, rows
