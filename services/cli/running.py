"""`tender up`: everything, in the foreground, until it is told to end."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

from cyclopts import Parameter

from services.cli.output import console, errors
from services.cli.session import DataDir, run, settings_of
from services.running.stack import Stack, running
from services.settings import Settings

HttpPort = Annotated[int | None, Parameter(help="Where HTTP listens; 0: any free port. [default: 8080]")]


def up(*, data_dir: DataDir = None, http_port: HttpPort = None) -> None:
    """Run everything until Ctrl-C.

    PostgreSQL and a Kafka-compatible broker are started where no `TENDER_DATABASE_URL` and
    `TENDER_KAFKA_BOOTSTRAP_SERVERS` name servers of your own. Killed in the middle, it goes on where it was.

    Examples:

        tender up
        tender up --http-port 9000 --data-dir /var/lib/tender
    """
    run(_up(settings_of(data_dir, http_port=http_port)))


async def _up(settings: Settings) -> None:
    async with running(settings, say) as stack:
        tell_where(stack)
        await until_told()
        say("ending: calls under way are finished first")


def say(what: str) -> None:
    errors.print(what, style="dim", highlight=False)


def tell_where(stack: Stack) -> None:
    url, settings = stack.http_url, stack.settings
    console.print("[bold green]Tender runs.[/bold green] Ctrl-C ends it.", soft_wrap=True)
    for what, where in (
        ("look around", f"{url}/"),
        ("commands by HTTP", f"{url}/v1/commands/{{type}}"),
        ("commands by Kafka", f"{settings.kafka_bootstrap_servers}"),
        ("logs", f"{settings.data_dir / 'logs'}"),
    ):
        console.print(f"  {what:<18} {where}", soft_wrap=True, highlight=False)


async def until_told() -> None:
    """Return on SIGTERM and on Ctrl-C."""
    told, here = asyncio.Event(), asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        here.add_signal_handler(ending, told.set)
    await told.wait()
