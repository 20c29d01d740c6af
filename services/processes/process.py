"""What a process is: recorded facts in, commands out, and nothing of its own to remember.

It decides nothing: what happens is decided where its commands arrive, in the transaction that moves
the money.  The identity of a command follows from the fact, so saying it twice is saying it once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from services.decision import Needs, States


class Trigger(NamedTuple):
    """A recorded fact, and where it was recorded."""

    tenant: str
    account_id: str
    stream_id: str
    """The id within its kind: `payment-P1` is P1."""
    fact: Any
    occurred_at: datetime
    version: int
    """Of the fact in its stream."""


class Send(NamedTuple):
    """A command to send, once it is due."""

    command: object
    account_id: str
    key: str
    """`{process}:{instance}:{step}:{attempt}`."""
    due_at: datetime | None = None


@dataclass(frozen=True)
class Process:
    name: str
    facts: tuple[type[Any], ...]
    needs: Callable[[States, Trigger], Needs]
    react: Callable[[States, Trigger], Iterable[Send]]
    documents: tuple[type[Any], ...] = ()
    """The kinds of open documents that it looks for: of an account's list it gets no others."""
    merge: Callable[[Sequence[Send]], Iterable[Send]] | None = None
    """What it sends for facts of one tenant that are reacted to together, made fewer."""
