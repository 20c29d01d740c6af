"""Whose a record of Kafka is: Tender's own by its seal, a producer's by the topic that only he may write to.

A broker tells its consumers nothing of who has written a record. It does hold who may write to which topic,
so a producer has a topic of his own, which its access control lists give to his principal alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from services.access.permissions import unknown
from services.commands import Actor, Command
from services.errors import Undecodable
from services.signing_in.identity import Identity
from services.signing_in.seals import Seals

Trust = Callable[[Actor], Actor]
"""From the actor that a command names to the one that it is taken to be."""


class Record(Protocol):
    topic: str
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Principal:
    """A producer, as the file of principals has it: under the name of his topic."""

    id: str
    roles: tuple[str, ...]
    tenants: tuple[str, ...] | None = None
    accounts: tuple[str, ...] | None = None
    commands: tuple[str, ...] | None = None

    @property
    def identity(self) -> Identity:
        actor = Actor("SERVICE", self.id, self.roles, self.accounts)
        return Identity(actor, self.tenants, self.commands)


def as_claimed(actor: Actor) -> Actor:
    return actor


def of_outside(actor: Actor) -> Actor:
    """Where nobody signs in, actors are taken at their word; but for being Tender itself."""
    return replace(actor, type="SERVICE") if actor.type == "SYSTEM" else actor


class Callers:
    def __init__(
        self,
        seals: Seals | None = None,
        *,
        signed_in: bool = False,
        known: Mapping[str, Identity] | None = None,
    ) -> None:
        self._seals, self._signed_in, self._known = seals, signed_in, known or {}

    def trust(self, record: Record, type: str, id: bytes, seal: bytes | None) -> Trust:
        """How much the actor in a record counts.  Raises `Undecodable` for one that is nobody's."""
        if seal is not None and self._seals is not None:
            parts = type.encode(), id, record.key or b"", record.value or b""
            if not self._seals.holds(seal, *parts):
                raise Undecodable("UNAUTHENTICATED", "its seal is not Tender's")
            return as_claimed
        identity = self._known.get(record.topic)
        if identity is not None:
            return lambda _: identity.actor
        if self._signed_in:
            raise Undecodable("UNAUTHENTICATED", f"nobody is known by the topic {record.topic}")
        return of_outside

    def has_sealed(self, record: Record, type: bytes, id: bytes, seal: bytes | None) -> bool:
        """Whether a record is Tender's own, for certain."""
        if seal is None or self._seals is None:
            return False
        return self._seals.holds(seal, type, id, record.key or b"", record.value or b"")

    def scoped(self, record: Record, command: Command, sealed: bool) -> Command:
        """The command, or its rejection: what its producer is for.  Raises `Undecodable`."""
        identity = None if sealed else self._known.get(record.topic)
        if identity is None:
            return command
        if not identity.belongs_to(command.tenant):
            raise Undecodable("FORBIDDEN", f"{identity.actor.id} has nothing to do with the tenant")
        denied = identity.out_of_scope(command.type)
        return command if denied is None else command._replace(data=denied)


_FILE = TypeAdapter(dict[str, Principal])


def read(path: Path) -> dict[str, Identity]:
    """`{"topic": {"id", "roles", "tenants"?, "accounts"?, "commands"?}}`.  Raises `ValueError`."""
    try:
        known = _FILE.validate_json(path.read_bytes())
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for topic, principal in known.items():
        for role in unknown(principal.roles):
            raise ValueError(f"{path}: {topic}: there is no role {role}")
    return {topic: principal.identity for topic, principal in known.items()}
