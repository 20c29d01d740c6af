"""Bring the database's schema and the broker's topics up to this version: `python -m services.prepare`.

Before the roles start, and again at each upgrade; a second time it does nothing.
"""

from __future__ import annotations

import asyncio

from services.bootstrap import all_topics
from services.running import kafka_admin
from services.running.broker import security
from services.settings import Settings
from services.store import migrate


async def prepare(settings: Settings) -> list[str]:
    """Wait for the broker, migrate, create topics; the migrations that were applied."""
    assert settings.database_url is not None
    assert settings.kafka_bootstrap_servers is not None
    applied = await asyncio.to_thread(migrate.apply, settings.database_url)
    await kafka_admin.wait_for_broker(settings.kafka_bootstrap_servers, **security(settings))
    await kafka_admin.create_topics(
        settings.kafka_bootstrap_servers,
        all_topics(settings),
        settings.topic_partitions,
        settings.topic_replication,
        **security(settings),
    )
    return applied


def main() -> None:
    applied = asyncio.run(prepare(Settings()))
    print(f"migrations applied: {', '.join(applied) or 'none'}; topics are there")


if __name__ == "__main__":
    main()
