"""Commands as they travel: the record of one command, its identity, and its fingerprint.

A command is one JSON object, at most `COMMAND_BYTES_MAX` long, under the key `{tenant}/{account_id}`:

    {"tenant_id", "account_id", "data": {...},
     "command_id"? | "idempotency_key"?, "actor"?, "issued_at"?, "expected_version"?, "deadline"?, "dry_run"?}

`ce_type` names it (`payments.payment.process.v1`); without an id of its own, `ce_id` is its id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, is_dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, cast, dataclass_transform
from uuid import UUID

import orjson
from pydantic import AfterValidator, ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from events import ids
from events.card_numbers import found_in, is_trace, masked_bytes, masked_json, may_hold, place_in
from events.frozen import frozen
from events.keeping import kept
from events.money import AMOUNT_MINOR_MAX, EXPONENTS, Money
from events.shapes import Address
from services.errors import Rejected, Undecodable

COMMAND_BYTES_MAX = 1024 * 1024

T = TypeVar("T")

ID_PATTERN = r"^[A-Za-z0-9._:~-]{1,64}$"
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""An opaque id of the caller's."""

HomeId = Annotated[str, StringConstraints(pattern=r"^(~[a-z_]+/)?[A-Za-z0-9._:~-]{1,64}$")]
"""An account id, or the home of a tenant-level stream: `~gateway/stripe-eu`."""

Text = Annotated[str, StringConstraints(max_length=1000)]
Decimal6 = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$")]
"""A decimal number in a string, with at most 6 places."""


def _known_money(money: Money) -> Money:
    if money.currency not in EXPONENTS:
        raise PydanticCustomError(
            "currency_unknown", "{currency} is no ISO 4217 currency", {"currency": money.currency}
        )
    if abs(money.amount_minor) > AMOUNT_MINOR_MAX:
        raise PydanticCustomError("amount_out_of_range", "an amount has at most 10^15 minor units")
    return money


def _known_currency(currency: str) -> str:
    if currency not in EXPONENTS:
        raise PydanticCustomError(
            "currency_unknown", "{currency} is no ISO 4217 currency", {"currency": currency}
        )
    return currency


Amount = Annotated[Money, AfterValidator(_known_money)]
Currency = Annotated[str, AfterValidator(_known_currency)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""A gateway's stand-in for an instrument; a card number, here or anywhere, is `CARD_DATA_FORBIDDEN`."""
FreeText = Annotated[str, StringConstraints(max_length=1000)]


def _plain_address(address: Address) -> Address:
    for part in vars(address).values():
        if part is not None and len(part) > 200:
            raise PydanticCustomError("string_too_long", "a line of an address has at most 200 characters")
    return address


PostalAddress = Annotated[Address, AfterValidator(_plain_address)]


@frozen
class Actor:
    type: Annotated[str, StringConstraints(max_length=40)] = "USER"
    """USER, a person; SERVICE, a program; SYSTEM, Tender itself."""
    id: Annotated[str, StringConstraints(max_length=120)] = "anonymous"
    """What the tenant's sign-in, or the API key, calls them."""
    roles: tuple[Annotated[str, StringConstraints(max_length=60)], ...] = ()
    """What they may do is said by role in `permissions.md`."""
    accounts: tuple[Id, ...] | None = None
    """The only accounts that he reaches; None: all of the tenant's."""
    contact: Id | None = None
    """Which contact of his account a customer is."""


ANONYMOUS = Actor()


@dataclass(frozen=True)
class Body(Generic[T]):
    """The JSON object of a command record."""

    tenant_id: Id
    """The tenant: a command sees and changes nothing of another's."""
    account_id: HomeId
    """The account that it is about; or the home of what is no account's, such as `~gateway/stripe-eu`."""
    data: T
    """What is asked for."""
    command_id: UUID | None = None
    """A UUID: sent again with the same data, it is answered as it was the first time. This, or an
    `idempotency_key`."""
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """Any text of the caller's own, instead of a `command_id`, which then follows from it, the tenant and the
    type."""
    actor: Actor = ANONYMOUS
    """Who sends it; where callers sign in, whoever has signed in."""
    issued_at: datetime | None = None
    """When the caller made it; nothing is decided by it."""
    expected_version: int | None = None
    """The version that the command's own stream must have; else `VERSION_CONFLICT`."""
    deadline: datetime | None = None
    """Decided later than this, it is rejected as `DEADLINE_EXCEEDED`; without one it waits for its turn."""
    dry_run: bool = False
    """Only say what would become of it: nothing is recorded, and no gateway is asked."""


class Command(NamedTuple):
    """A command, decoded: who it is, and what it wants."""

    command_id: UUID
    type: str
    tenant: str
    account_id: str
    data: Any
    """An instance of the command's class, or the `Rejected` that its content earned."""
    fingerprint: bytes
    actor: Actor
    meta: bytes
    expected_version: int | None
    deadline: datetime | None
    dry_run: bool
    value: bytes
    """The record's value, as it came."""
    home: str
    """`{tenant}/{account_id}`."""


class CommandType(NamedTuple):
    type: str
    cls: type[Any]
    adapter: TypeAdapter[Body[Any]]


COMMANDS: dict[str, CommandType] = {}
"""Every command by its `ce_type`."""

TYPES: dict[type[Any], str] = {}
"""The `ce_type` of each command's class."""

STRICT = ConfigDict(extra="forbid", strict=True)
"""How commands are read."""


@dataclass_transform(frozen_default=True)
def command(type: str) -> Callable[[type[T]], type[T]]:
    """Freeze a class into a command, and bind it to its permanent `ce_type`."""

    def bind(cls: type[T]) -> type[T]:
        assert type not in COMMANDS, f"two commands claim {type}"
        made = frozen(cls)
        adapter = TypeAdapter(Body[made], config=STRICT)  # type: ignore[valid-type]
        COMMANDS[type] = CommandType(type, made, adapter)
        TYPES[made] = type
        return made

    return bind


def fingerprint(tenant: str, type: str, sent: object) -> bytes:
    """SHA-256 of tenant, type and the sent data as canonical JSON: not who sent it, nor when."""
    return canonical_fingerprint(tenant, type, orjson.dumps(sent, option=orjson.OPT_SORT_KEYS))


def canonical_fingerprint(tenant: str, type: str, canonical: bytes) -> bytes:
    """The same, of JSON whose keys are sorted already."""
    return hashlib.sha256(b"\x00".join((tenant.encode(), type.encode(), canonical))).digest()


def decode(
    type: str,
    value: bytes,
    *,
    ce_id: str | None = None,
    key: bytes | None = None,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    traceparent: str | None = None,
    trust: Callable[[Actor], Actor] | None = None,
) -> Command:
    """The command that a record holds.

    `trust` says who sent it, from whom it names; without one it is taken at its word.

    Content that breaks a rule comes back as a command whose `data` is the `Rejected`: it has an
    identity, so its verdict is recorded.  Raises `Undecodable` where there is nobody to answer.
    """
    known = COMMANDS.get(type)
    if known is None:
        raise _unknown_type(type)
    sent = _object(value)
    hidden = _card_number(sent, value, (ce_id, correlation_id, causation_id, traceparent))
    data, body = (_card_data(hidden), None) if hidden else _content(known, value)
    tenant, account_id = (body.tenant_id, body.account_id) if body else _scope(sent)
    command_id = _identity(type, tenant, sent, ce_id)
    try:
        mark = fingerprint(tenant, type, masked_json(sent.get("data")) if hidden else sent.get("data"))
    except (orjson.JSONEncodeError, TypeError) as error:
        raise Undecodable("MALFORMED_REQUEST", f"the data has no canonical form: {error}") from error
    home = ids.home(tenant, account_id)
    if key is not None and key != home.encode():
        data = Rejected("PARTITION_KEY_MISMATCH", f"the record's key must be {home}")
    actor = body.actor if body else _named(sent, hidden)
    actor = trust(actor) if trust else actor
    meta = _meta(actor, correlation_id or str(command_id), causation_id, traceparent)
    return Command(
        command_id,
        type,
        tenant,
        account_id,
        data,
        mark,
        actor,
        meta,
        body.expected_version if body else None,
        body.deadline if body else None,
        body.dry_run if body else sent.get("dry_run") is True,
        masked_bytes(value) if hidden else value,
        home,
    )


def encode(
    data: object,
    *,
    tenant: str,
    account_id: str,
    actor: Actor,
    command_id: UUID | None = None,
    idempotency_key: str | None = None,
    short: object = None,
) -> tuple[str, bytes]:
    """The type and the record value of a command that Tender itself sends.

    `short` is the same data without what is implied, where there is much of it.
    """
    assert is_dataclass(data)
    told = {"data": data if short is None else short}
    body: dict[str, Any] = {"tenant_id": tenant, "account_id": account_id, "actor": actor, **told}
    if command_id is not None:
        body["command_id"] = command_id
    if idempotency_key is not None:
        body["idempotency_key"] = idempotency_key
    return TYPES[cast("type[Any]", type(data))], orjson.dumps(body)


_IDENTITY = ("tenant_id", "account_id", "command_id", "idempotency_key")
_OPAQUE = frozenset(f"data.result.{name}" for name in ("gateway_ref", "network_transaction_id", "action"))
"""References of a gateway and a card scheme in an answer: refused for their looks, it would be lost."""


def _card_number(sent: dict[str, Any], value: bytes, headers: Iterable[str | None]) -> str | None:
    """Where a card number stands.  Raises `Undecodable` where the command could not be named without it."""
    if any(text and not is_trace(text) and found_in(text) for text in headers):
        raise Undecodable("CARD_DATA_FORBIDDEN", "a header holds a card number")
    place = place_in(sent, _OPAQUE) if may_hold(value) else None
    if place in _IDENTITY:
        raise Undecodable("CARD_DATA_FORBIDDEN", f"{place} holds a card number")
    return place


def _card_data(place: str) -> Rejected:
    message = f"{place}: this looks like a card number; send a token of the gateway"
    return Rejected("CARD_DATA_FORBIDDEN", message, field=place)


def _unknown_type(type: str) -> Undecodable:
    stem, _, version = type.rpartition(".v")
    siblings = [known for known in COMMANDS if known.rpartition(".v")[0] == stem]
    if siblings and version.isdigit():
        return Undecodable("UNSUPPORTED_VERSION", f"{type} is not known here; known: {', '.join(siblings)}")
    return Undecodable("UNKNOWN_TYPE", f"no command is called {type[:200]!r}")


def _object(value: bytes) -> dict[str, Any]:
    if len(value) > COMMAND_BYTES_MAX:
        raise Undecodable(
            "BODY_TOO_LARGE", f"a command has at most {COMMAND_BYTES_MAX} bytes, this has {len(value)}"
        )
    try:
        sent = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Undecodable("MALFORMED_REQUEST", f"this is no JSON: {error}") from error
    if not isinstance(sent, dict):
        raise Undecodable("MALFORMED_REQUEST", "a command is one JSON object")
    if b"\\u0000" in value:
        raise Undecodable("MALFORMED_REQUEST", "text must not hold NUL characters")
    return cast("dict[str, Any]", sent)


_ACTOR = TypeAdapter(Actor)


def _named(sent: dict[str, Any], hidden: str | None) -> Actor:
    """Who sent what breaks a rule; nobody, where a card number hides in him."""
    if hidden and hidden.startswith("actor"):
        return ANONYMOUS
    try:
        return (
            _ACTOR.validate_json(orjson.dumps(sent["actor"]), strict=True) if "actor" in sent else ANONYMOUS
        )
    except (ValidationError, orjson.JSONEncodeError):
        return ANONYMOUS


_SCOPE = TypeAdapter(tuple[Id, HomeId])


def _scope(sent: dict[str, Any]) -> tuple[str, str]:
    try:
        return _SCOPE.validate_python((sent.get("tenant_id"), sent.get("account_id")), strict=True)
    except ValidationError as error:
        raise Undecodable("MALFORMED_REQUEST", "a command needs a tenant_id and an account_id") from error


def _identity(type: str, tenant: str, sent: dict[str, Any], ce_id: str | None) -> UUID:
    key = sent.get("idempotency_key")
    if isinstance(key, str) and 0 < len(key) <= 255:
        return ids.command_id(tenant, type, key)
    own = sent.get("command_id", ce_id)
    try:
        return UUID(own)
    except (ValueError, TypeError, AttributeError) as error:
        raise Undecodable(
            "MALFORMED_REQUEST", "a command needs a command_id (a UUID) or an idempotency_key"
        ) from error


_CODES = {
    "extra_forbidden": "UNKNOWN_FIELD",
    "unexpected_keyword_argument": "UNKNOWN_FIELD",
    "currency_unknown": "CURRENCY_UNKNOWN",
    "amount_out_of_range": "MINOR_UNITS_INVALID",
}


def _content(known: CommandType, value: bytes) -> tuple[Any, Body[Any] | None]:
    try:
        body = known.adapter.validate_json(value)
    except ValidationError as invalid:
        return rejection(invalid), None
    return body.data, body


def rejection(invalid: ValidationError) -> Rejected:
    """What content that is not valid earns: the first thing that is wrong with it."""
    error = invalid.errors(include_url=False, include_input=False, include_context=False)[0]
    path = [str(part) for part in error["loc"]]
    if error["type"] in _CODES:
        code = _CODES[error["type"]]
    elif path and path[-1] == "amount_minor":
        code = "MINOR_UNITS_INVALID"
    elif "date" in error["type"]:
        code = "DATE_INVALID"
    else:
        code = "MALFORMED_REQUEST"
    said = "there is no such field" if code == "UNKNOWN_FIELD" else error["msg"]
    return Rejected(code, f"{'.'.join(path)}: {said}", field=".".join(path))


def _meta(actor: Actor, correlation_id: str, causation_id: str | None, traceparent: str | None) -> bytes:
    who = {"type": actor.type, "id": actor.id, "roles": actor.roles}
    meta: dict[str, Any] = {"actor": who, "correlation_id": correlation_id}
    if causation_id:
        meta["causation_id"] = causation_id
    if traceparent:
        meta["traceparent"] = traceparent
    return kept(meta)
