"""Keys of data subjects in PostgreSQL: made in the transaction that first needs one, destroyed in one too.

Keys for sealing are kept in memory: at worst something is sealed under a key that was just destroyed
elsewhere, which reads as erased.  Keys for opening are asked for anew each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from events.personal import SubjectKey
from services.keys import KeyEncryption, Wrapped
from services.store.queries import SQL

KEPT_MAX = 50_000
_CANARY = ""
"""The home of a key that opens nothing: it shows whether two processes have the same key-encryption key."""

Rows = Callable[..., Awaitable[Sequence[Any]]]
"""Run a query by its name, with its arguments."""


class SubjectKeys:
    def __init__(self, keys: KeyEncryption | None) -> None:
        self._given = keys
        self._kept: dict[str, SubjectKey | None] = {}

    @property
    def _keys(self) -> KeyEncryption:
        assert self._given is not None, "this store was opened without a key-encryption key"
        return self._given

    async def check(self, rows: Rows) -> None:
        """Raises `UnknownKeyEncryptionKey` when others seal under another key-encryption key."""
        await rows("make_subject_keys", *_columns([self._keys.make(_CANARY)[0]]))
        await self.read(rows, [_CANARY])

    async def read(self, rows: Rows, homes: Collection[str]) -> dict[str, SubjectKey | None]:
        """The key of each home; None where it is destroyed, or never was."""
        found = await rows("read_subject_keys", list(homes))
        return dict.fromkeys(homes) | {row["home"]: self._unwrapped(row) for row in found}

    async def for_sealing(self, connection: Any, homes: Collection[str]) -> dict[str, SubjectKey | None]:
        """The same, with a new key where there was none: it is there once the transaction is."""
        known = {home: self._kept[home] for home in homes if home in self._kept}
        missing = sorted(set(homes) - known.keys())
        if not missing:
            return known
        made = {home: self._keys.make(home) for home in missing}
        wrapped = [wrapped for wrapped, _ in made.values()]
        new = await connection.fetch(SQL["make_subject_keys"], *_columns(wrapped))
        keys = {row["home"]: made[row["home"]][1] for row in new}
        others = [home for home in missing if home not in keys]
        if others:

            async def rows(query: str, *arguments: object) -> Sequence[Any]:
                return await connection.fetch(SQL[query], *arguments)

            return known | keys | await self.read(rows, others)
        return known | keys

    async def destroy(self, connection: Any, homes: Collection[str], now: datetime) -> None:
        await connection.execute(SQL["destroy_subject_keys"], sorted(homes), now)

    def keep(self, keys: dict[str, SubjectKey | None], erased: Iterable[str]) -> None:
        """Remember keys whose transaction is committed, and forget those that it destroyed."""
        self._kept |= keys
        for home in erased:
            self._kept.pop(home, None)
        for home in list(self._kept)[: max(0, len(self._kept) - KEPT_MAX)]:
            del self._kept[home]

    def _unwrapped(self, row: Any) -> SubjectKey | None:
        return None if row["wrapped"] is None else self._keys.unwrap(Wrapped(*row))


def _columns(keys: Iterable[Wrapped]) -> list[list[Any]]:
    return [list(column) for column in zip(*keys, strict=True)]
