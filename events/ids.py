"""Names of things: streams, home keys, and ids that follow from what they identify."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from hashlib import sha1, sha256
from uuid import UUID

TENDER = UUID("6f2d8a0e-3c41-5b7a-9e55-7b1f0c7a9d10")
"""The namespace of every id that Tender derives."""

_NAMESPACE = TENDER.bytes
_VARIANT = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


def _derived(namespace: bytes, name: str) -> str:
    """`str(uuid5(…))` without the object in between: ids are made for every line of every invoice."""
    return _written(sha1(namespace + name.encode(), usedforsecurity=False).hexdigest())


def _written(digest: str) -> str:
    return (
        f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{_VARIANT[digest[16]]}{digest[17:20]}-{digest[20:32]}"
    )


class Parts:
    """`part_id` of one whole, for many parts: what they share is hashed once."""

    __slots__ = ("_begun",)

    def __init__(self, whole: UUID | str) -> None:
        namespace = whole.bytes if isinstance(whole, UUID) else _NAMESPACE
        self._begun = sha1(namespace + f"{whole}/".encode(), usedforsecurity=False)

    def id(self, part: str) -> str:
        digest = self._begun.copy()
        digest.update(part.encode())
        return _written(digest.hexdigest())


def command_id(tenant: str, command_type: str, key: str) -> UUID:
    """The identity of a command that was sent with an idempotency key: the `uuid5` of all three."""
    name = f"{tenant}/{command_type}/{key}".encode()
    digest = bytearray(sha1(_NAMESPACE + name, usedforsecurity=False).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    return UUID(int=int.from_bytes(digest))


def invoice_id(tenant: str, external_id: str) -> str:
    """An invoice is found by its issuer's id; posting the same id twice meets the same stream."""
    return _derived(_NAMESPACE, f"{tenant}/invoice/{external_id}")


def method_id(tenant: str, account_id: str, merchant_account_id: str, fingerprint: str) -> str:
    """One record per instrument, account and merchant account: who saves it again updates it."""
    return _derived(_NAMESPACE, f"{tenant}/spm/{account_id}/{merchant_account_id}/{fingerprint}")


def card_id(tenant: str, merchant_account_id: str, fingerprint: str) -> str:
    """A card is one at a merchant account, whoever has saved it."""
    return _derived(_NAMESPACE, f"{tenant}/card/{merchant_account_id}/{fingerprint}")


def run_id(tenant: str, scheduler_id: str, planned_at: datetime) -> str:
    """The run of a scheduler's firing: one, whichever machine fires it."""
    instant = planned_at.astimezone(UTC).isoformat()
    return _derived(_NAMESPACE, f"{tenant}/scheduler/{scheduler_id}/{instant}")


def inbox_id(gateway_id: str, event_id: str) -> str:
    """The id of a gateway's notification: what follows the last `-` is the event's, so no two ids meet."""
    plain = re.fullmatch(r"[A-Za-z0-9._:~-]{1,100}", event_id)
    name = event_id.replace("-", "%2D") if plain else sha256(event_id.encode()).hexdigest()
    return f"{gateway_id}-{name}"


def part_id(whole: UUID | str, part: str) -> str:
    """The id of something that a command or an object makes once: its application, its refund."""
    return Parts(whole).id(part)


def stream(tenant: str, kind: str, id: str) -> str:
    """`{tenant}/{kind}-{id}`: one stream per aggregate."""
    return f"{tenant}/{kind}-{id}"


def parts(stream: str) -> tuple[str, str, str]:
    """The tenant, kind and id of a stream."""
    tenant, _, rest = stream.partition("/")
    kind, _, id = rest.partition("-")
    return tenant, kind, id


def home(tenant: str, account_id: str) -> str:
    """The key that commands and events of one account share: Kafka's key, the order, the parking."""
    return f"{tenant}/{account_id}"


def notification_home(inbox: str) -> str:
    """A notification has a home of its own: it waits for no other, and parks none."""
    return tenant_home("notification", part_id(inbox, "home"))


def tenant_home(kind: str, id: str) -> str:
    """The `account_id` of a command to a tenant-level stream: `~gateway/stripe-eu`."""
    return f"~{kind}/{id}"
