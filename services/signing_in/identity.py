"""Who somebody was proven to be: by a token, by an API key, or by the topic that only he may write to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from services.access.permissions import short
from services.commands import Actor
from services.errors import Rejected


class NotSignedIn(Exception):
    """Nobody was proven to be anybody; the message says what to do, and nothing about what was wrong."""


@dataclass(frozen=True)
class Identity:
    actor: Actor
    tenants: tuple[str, ...] | None
    """The only ones that he has to do with; None: every one."""
    commands: tuple[str, ...] | None = None
    """Patterns of the only commands that he may send, as `refund.*`; None: all that his roles may."""

    def belongs_to(self, tenant: str) -> bool:
        return self.tenants is None or tenant in self.tenants

    def out_of_scope(self, type: str) -> Rejected | None:
        """A machine's credential may be for some commands only."""
        if self.commands is None or any(fnmatchcase(short(type), each) for each in self.commands):
            return None
        return Rejected(
            "FORBIDDEN", f"this credential is not for {short(type)}", commands=list(self.commands)
        )


def wanted(identity: Identity, tenant: str) -> Rejected | None:
    if identity.belongs_to(tenant):
        return None
    return Rejected("FORBIDDEN", f"{identity.actor.id} has nothing to do with the tenant {tenant}")


def listed(value: object) -> tuple[str, ...] | None:
    """A claim that names several: a list, or a text with blanks between; None where there is none."""
    if isinstance(value, str):
        return tuple(value.split())
    if isinstance(value, Sequence):
        return tuple(str(each) for each in value)
    return None
