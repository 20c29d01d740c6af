"""Bring the database's schema, the read models and the broker's topics up to this version.

`python -m services.prepare`, before the roles start, and again at each upgrade; a second time it does
nothing.  Read models that a release with other tables has made are built anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from projections.models import TABLES
from projections.rebuild import rebuild
from projections.rows import PostgresRows
from services import bootstrap
from services.running import kafka_admin
from services.running.broker import security
from services.settings import Settings
from services.store import migrate


async def prepare(settings: Settings, say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Wait for the broker, migrate, create topics, fit read models; the migrations that were applied."""
    assert settings.database_url is not None
    assert settings.kafka_bootstrap_servers is not None
    applied = await asyncio.to_thread(migrate.apply, settings.database_url)
    await kafka_admin.wait_for_broker(settings.kafka_bootstrap_servers, **security(settings))
    await kafka_admin.create_topics(
        settings.kafka_bootstrap_servers,
        bootstrap.all_topics(settings),
        settings.topic_partitions,
        settings.topic_replication,
        **security(settings),
    )
    await _fit_read_models(settings, settings.database_url, say)
    return applied


async def _fit_read_models(settings: Settings, database_url: str, say: Callable[[str], None]) -> None:
    async with bootstrap.store(settings) as store, PostgresRows.connected(database_url, TABLES) as rows:
        if await rows.fits():
            return
        say("building the read models of this release")
        report = await rebuild(store, rows, force=True, compare=False)
        say(f"{report.events:,} events are in them")


def main() -> None:
    applied = asyncio.run(prepare(Settings(), print))
    print(f"migrations applied: {', '.join(applied) or 'none'}; topics are there")


if __name__ == "__main__":
    main()
