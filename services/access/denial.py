"""Denials: what somebody was not let do is a fact of its own, whether he asked by a command or a question.

Each is a stream of its own, so that a flood of them is no quarrel about one; their home is the tenant's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import StringConstraints

from events.access import AccessDenied
from events.ids import tenant_home
from services.commands import Actor, HomeId, Text, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject

CODES = frozenset({"FORBIDDEN", "ACCOUNT_NOT_VISIBLE", "SELF_APPROVAL_FORBIDDEN"})
"""Of rejections that are denials."""


@dataclass(slots=True)
class Denial:
    KIND: ClassVar[str] = "denial"

    version: int = 0

    @property
    def open(self) -> bool:
        return False


def evolve(denial: Denial, event: AccessDenied) -> None:
    return None


@command("payments.access.record_denial.v1")
class RecordDenial:
    """Keep that somebody was denied something: who, what, and by which rule; nothing of its content."""

    denial_id: UUID
    """The id of the denial, so that it is kept once."""
    code: Annotated[str, StringConstraints(max_length=60)]
    action: Annotated[str, StringConstraints(max_length=200)]
    """The command's type, or what was to be read: `GET invoices`."""
    who: Actor
    """Who asked."""
    message: Text
    about: HomeId | None = None
    """The account that it was about."""
    denied_command: UUID | None = None
    """The id of the command that was denied, where it was one."""


def _needs(states: States, command: RecordDenial, context: Context) -> Needs:
    yield Need(Denial, str(command.denial_id))


def record(states: States, command: RecordDenial, context: Context) -> Changes:
    if states.get(Denial, str(command.denial_id)).version:
        return []
    fact = AccessDenied(
        command.code,
        command.action,
        command.who.type,
        command.who.id,
        command.who.roles,
        command.message,
        command.about,
        str(command.denied_command) if command.denied_command else None,
    )
    return [Change(Denial, str(command.denial_id), fact)]


def home(command: object, tenant: str) -> str:
    return tenant_home("access", tenant)


SUBJECT = Subject(Denial, evolve, (Rule(RecordDenial, _needs, record, home),))
