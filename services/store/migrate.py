"""The schema, brought up to date by the numbered migrations of `deploy/migrations`."""

from __future__ import annotations

from importlib.resources import as_file, files
from urllib.parse import urlsplit, urlunsplit

from yoyo import get_backend, read_migrations


def apply(database_url: str) -> list[str]:
    """Apply what is missing, under a lock that lets only one process do so; the ids applied."""
    backend = get_backend(_for_yoyo(database_url))
    try:
        with as_file(files("deploy").joinpath("migrations")) as folder, backend.lock():
            missing = backend.to_apply(read_migrations(str(folder)))
            backend.apply_migrations(missing)
            return [migration.id for migration in missing]
    finally:
        backend.connection.close()


def _for_yoyo(database_url: str) -> str:
    parts = urlsplit(database_url)
    return urlunsplit(parts._replace(scheme="postgresql+psycopg"))
