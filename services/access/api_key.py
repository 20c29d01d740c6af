"""API keys: given, used, taken back.  What is kept is a digest; the key itself was shown once.

Whoever makes a key makes its secret, salt and digest beside its command: no command ever holds a secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import StringConstraints

from events.access import ApiKeyCreated, ApiKeyEvent, ApiKeyRevoked, ApiKeyUsed
from events.ids import tenant_home
from services.access.permissions import unknown
from services.commands import FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, not_found

Letters = Annotated[str, StringConstraints(pattern=r"^[a-p]+$", max_length=128)]
"""Bytes as letters, four bits each: no digits, so that none of them is ever taken for a card number."""


@dataclass(slots=True)
class ApiKey:
    KIND: ClassVar[str] = "apikey"

    version: int = 0
    created: ApiKeyCreated | None = None
    revoked: bool = False
    used_at: datetime | None = None

    @property
    def open(self) -> bool:
        return False

    def usable(self, now: datetime) -> ApiKeyCreated | None:
        """What it was created as, while it opens anything."""
        if self.created is None or self.revoked:
            return None
        ended = self.created.expires_at is not None and self.created.expires_at <= now
        return None if ended else self.created


def evolve(key: ApiKey, event: ApiKeyEvent) -> None:
    match event:
        case ApiKeyCreated():
            key.created = event
        case ApiKeyRevoked():
            key.revoked = True
        case ApiKeyUsed():
            key.used_at = event.used_at


@command("payments.api_key.create.v1")
class CreateApiKey:
    """Give somebody a key; `tender keys create` makes one, with all that this asks for."""

    key_id: Letters
    name: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    """What people call the key."""
    actor_id: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    """As whom it acts: who has a token, too, is the same by both, or he could approve what he asked for."""
    roles: tuple[str, ...]
    salt: Letters
    digest: Letters
    """Of the key's secret, under the salt and a pepper of the deployment."""
    actor_type: Literal["USER", "SERVICE"] = "SERVICE"
    accounts: tuple[Id, ...] | None = None
    """The only accounts that it reaches; without them, all."""
    commands: tuple[Annotated[str, StringConstraints(max_length=120)], ...] | None = None
    """Patterns of the only commands that it may send, such as `refund.*`; without them, all that its roles
    may."""
    expires_at: datetime | None = None
    """When it opens nothing any more; without one, when it is revoked."""


@command("payments.api_key.revoke.v1")
class RevokeApiKey:
    """It opens nothing any more, within seconds."""

    key_id: Letters
    reason: FreeText | None = None


@command("payments.api_key.record_use.v1")
class RecordApiKeyUse:
    """That somebody signed in by a key.  Tender's own."""

    key_id: Letters
    used_at: datetime


def _needs(states: States, command: CreateApiKey | RevokeApiKey | RecordApiKeyUse, context: Context) -> Needs:
    yield Need(ApiKey, command.key_id)


def create(states: States, command: CreateApiKey, context: Context) -> Changes:
    if states.get(ApiKey, command.key_id).created:
        raise Rejected("API_KEY_EXISTS", f"there is a key {command.key_id}", field="data.key_id")
    if not command.roles:
        raise Rejected("MALFORMED_REQUEST", "a key has one role at least", field="data.roles")
    for role in unknown(command.roles):
        raise Rejected("MALFORMED_REQUEST", f"there is no role {role}", field="data.roles")
    if "PORTAL" in command.roles and not command.accounts:
        raise Rejected("MALFORMED_REQUEST", "a customer has accounts: name them", field="data.accounts")
    if command.expires_at is not None and command.expires_at <= context.now:
        raise Rejected("DATE_INVALID", "it would have expired already", field="data.expires_at")
    fact = ApiKeyCreated(
        command.key_id,
        command.name,
        command.actor_type,
        command.actor_id,
        command.roles,
        command.salt,
        command.digest,
        command.accounts,
        command.commands,
        command.expires_at,
    )
    return [Change(ApiKey, command.key_id, fact)]


def revoke(states: States, command: RevokeApiKey, context: Context) -> Changes:
    key = _known(states, command.key_id)
    return [] if key.revoked else [Change(ApiKey, command.key_id, ApiKeyRevoked(command.reason))]


def record_use(states: States, command: RecordApiKeyUse, context: Context) -> Changes:
    key = _known(states, command.key_id)
    if key.used_at is not None and key.used_at >= command.used_at:
        return []
    return [Change(ApiKey, command.key_id, ApiKeyUsed(command.used_at))]


def _known(states: States, key_id: str) -> ApiKey:
    key = states.get(ApiKey, key_id)
    if key.created is None:
        raise not_found("API_KEY", key_id)
    return key


def home(command: CreateApiKey | RevokeApiKey | RecordApiKeyUse, tenant: str) -> str:
    return tenant_home("api_key", command.key_id)


SUBJECT = Subject(
    ApiKey,
    evolve,
    (
        Rule(CreateApiKey, _needs, create, home),
        Rule(RevokeApiKey, _needs, revoke, home),
        Rule(RecordApiKeyUse, _needs, record_use, home),
    ),
)
