"""One process of a running Tender: `python -m services.roles worker relay`.

It is set up by `TENDER_…` variables, and ends on SIGTERM; what it had not finished is taken up by
whoever comes after it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

from prometheus_client import start_http_server

from services.bootstrap import ROLES
from services.running import logs
from services.running.loop import run
from services.settings import Settings

log = logging.getLogger("tender")


def main(roles: list[str] | None = None) -> int:
    """Run roles together in this process; 1 when one of them failed."""
    asked = roles if roles is not None else sys.argv[1:]
    unknown = [role for role in asked if role not in ROLES]
    if unknown or not asked:
        print(f"name one or more of: {', '.join(ROLES)}", file=sys.stderr)
        return 2
    logs.set_up()
    return run(_run(asked))


async def _run(roles: list[str]) -> int:
    settings = Settings()
    if settings.metrics_port:
        start_http_server(settings.metrics_port, settings.metrics_host)
    tasks = [asyncio.create_task(_role(role, settings), name=role) for role in roles]
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, lambda: [task.cancel() for task in tasks])
    log.info("running %s", ", ".join(roles))
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if not task.cancelling():  # told once, it ends in its own time
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return int(any(not task.cancelled() and task.exception() is not None for task in done))


async def _role(role: str, settings: Settings) -> None:
    try:
        await ROLES[role](settings)
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("the role %s has failed", role)
        raise


if __name__ == "__main__":
    sys.exit(main())
