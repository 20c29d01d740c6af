"""Who may come in, and who was not let do what: API keys (stream `apikey-{id}`), denials (`denial-{id}`)."""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact


@fact("api_key.created.v1")
class ApiKeyCreated:
    """A key was given to somebody: who has it acts as `actor_id`, with these roles.

    The key itself is kept nowhere: `digest` is of its secret, under a salt and a pepper.
    """

    key_id: str
    name: str
    """What people call the key."""
    actor_type: str
    actor_id: str
    """As whom it acts."""
    roles: tuple[str, ...]
    salt: str
    digest: str
    """Of the key's secret, under the salt and a pepper of the deployment."""
    accounts: tuple[str, ...] | None = None
    """The only accounts that it reaches; None: all."""
    commands: tuple[str, ...] | None = None
    """Patterns of the only commands that it may send; None: all that its roles may."""
    expires_at: datetime | None = None


@fact("api_key.revoked.v1")
class ApiKeyRevoked:
    """Nobody signs in by it any more."""

    reason: str | None = None


@fact("api_key.used.v1")
class ApiKeyUsed:
    """Somebody signed in with it: told once an hour at most."""

    used_at: datetime


ApiKeyEvent = ApiKeyCreated | ApiKeyRevoked | ApiKeyUsed


@fact("access.denied.v1")
class AccessDenied:
    """Somebody asked for what he may not do, or not see."""

    code: str
    action: str
    """The command's type, or what was to be read: `GET invoices`."""
    actor_type: str
    actor_id: str
    """Who asked."""
    roles: tuple[str, ...]
    message: str
    account_id: str | None = None
    command_id: str | None = None
    """The id of the command that was denied, where it was one."""
