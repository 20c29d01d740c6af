"""A lost connection says nothing about what was asked: it is never taken for poison."""

from __future__ import annotations

import asyncpg
import pytest

from services.store.postgres import availability
from services.store.protocol import StoreUnavailable


@pytest.mark.parametrize(
    "lost",
    [
        asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.CannotConnectNowError("the database system is shutting down"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        RuntimeError("unable to perform operation on <UnixTransport closed=True>; the handler is closed"),
        ConnectionRefusedError(111, "Connection refused"),
        TimeoutError(),
    ],
    ids=lambda lost: type(lost).__name__,
)
def test_a_lost_connection_is_an_unavailable_store(lost: Exception) -> None:
    with pytest.raises(StoreUnavailable), availability():
        raise lost


@pytest.mark.parametrize("ours", [RuntimeError("dictionary changed size"), ValueError("no"), KeyError("x")])
def test_what_is_our_own_mistake_stays_what_it_is(ours: Exception) -> None:
    with pytest.raises(type(ours)), availability():
        raise ours
