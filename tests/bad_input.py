"""Everything that may come through the doors and is no command, or none that could be carried out: one table.

Kafka and HTTP take the same bytes.  What names nobody to answer becomes a dead letter (over HTTP a problem
like any other); what has an identity is rejected, with a verdict.  Each has a code of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson

REGISTER = "payments.account.register.v1"
PROCESS = "payments.payment.process.v1"
SAVE = "payments.payment_method.save.v1"
EXTERNAL = "payments.payment.record_external.v1"
APPLY = "payments.credit_memo.apply.v1"
CARD = "4242-4242-4242-4242"
USD = {"amount_minor": 100, "currency": "USD"}


@dataclass(frozen=True)
class Bad:
    name: str
    code: str
    body: bytes | None
    type: str | bytes | None = REGISTER
    dead: bool = False
    """Nobody can be answered: over Kafka it becomes a dead letter."""
    headers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    kafka_only: bool = False
    """HTTP cannot say it: there is always a body and a type, and an identity is given to who has none."""

    @property
    def record_headers(self) -> list[tuple[str, bytes]]:
        type = self.type.encode() if isinstance(self.type, str) else self.type
        return [*([("ce_type", type)] if type is not None else []), *self.headers.items()]


def body(data: Any, **envelope: Any) -> bytes:
    """A command's JSON object; `envelope` replaces parts of it, None takes them away."""
    whole = {"tenant_id": "t", "account_id": "A", "idempotency_key": uuid4().hex, "data": data, **envelope}
    return orjson.dumps({name: value for name, value in whole.items() if value is not None})


def _name(raw: bytes) -> bytes:
    """A registration whose name is these very bytes."""
    return body({"name": "#"}).replace(b"#", raw)


def _nested(depth: int) -> bytes:
    return body({"name": "#"}).replace(b'"#"', b"[" * depth + b"]" * depth)


def _paid(amount: Any, **more: Any) -> bytes:
    return body({"amount": amount, **more})


_ADA = body({"name": "Ada"})

DEAD: tuple[Bad, ...] = (
    Bad("no JSON", "MALFORMED_REQUEST", b"not json", dead=True),
    Bad("half a JSON object", "MALFORMED_REQUEST", _ADA[:-5], dead=True),
    Bad("a list", "MALFORMED_REQUEST", b"[1, 2]", dead=True),
    Bad("a number", "MALFORMED_REQUEST", b"17", dead=True),
    Bad("nothing", "MALFORMED_REQUEST", b"", dead=True),
    Bad("no value", "MALFORMED_REQUEST", None, dead=True, kafka_only=True),
    Bad("two objects", "MALFORMED_REQUEST", _ADA + _ADA, dead=True),
    Bad("not a number", "MALFORMED_REQUEST", body({"name": "#"}).replace(b'"#"', b"NaN"), dead=True),
    Bad("a byte order mark", "MALFORMED_REQUEST", b"\xef\xbb\xbf" + _ADA, dead=True),
    Bad("no UTF-8", "MALFORMED_REQUEST", _name(b"\xff\xfe"), dead=True),
    Bad("a lone surrogate", "MALFORMED_REQUEST", _name(b"\\ud800"), dead=True),
    Bad("a NUL character", "MALFORMED_REQUEST", _name(b"a\\u0000b"), dead=True),
    Bad("a NUL byte", "MALFORMED_REQUEST", _name(b"a\x00b"), dead=True),
    Bad("nested too deeply to read", "MALFORMED_REQUEST", _nested(20_000), dead=True),
    Bad("nested deeply", "MALFORMED_REQUEST", _nested(300), dead=True),
    Bad("more than a command may have", "BODY_TOO_LARGE", body({"name": "x" * 1_100_000}), dead=True),
    Bad("no type", "UNKNOWN_TYPE", _ADA, None, dead=True, kafka_only=True),
    Bad("a type that nobody knows", "UNKNOWN_TYPE", _ADA, "payments.nothing.v1", dead=True),
    Bad("a version to come", "UNSUPPORTED_VERSION", _ADA, "payments.account.register.v9", dead=True),
    Bad("a type that is no text", "MALFORMED_REQUEST", _ADA, b"\xff\xfe", dead=True, kafka_only=True),
    Bad("an empty type", "UNKNOWN_TYPE", _ADA, "", dead=True, kafka_only=True),
    Bad("no tenant", "MALFORMED_REQUEST", body({"name": "Ada"}, tenant_id=None), dead=True),
    Bad("no account", "MALFORMED_REQUEST", body({"name": "Ada"}, account_id=None), dead=True),
    Bad("an empty account", "MALFORMED_REQUEST", body({"name": "Ada"}, account_id=""), dead=True),
    Bad("an account with a space", "MALFORMED_REQUEST", body({"name": "Ada"}, account_id="A B"), dead=True),
    Bad(
        "an account of another home", "MALFORMED_REQUEST", body({"name": "Ada"}, account_id="t/A"), dead=True
    ),
    Bad("a tenant of 65 letters", "MALFORMED_REQUEST", body({"name": "Ada"}, tenant_id="t" * 65), dead=True),
    Bad("an account that is a number", "MALFORMED_REQUEST", body({"name": "Ada"}, account_id=7), dead=True),
    Bad(
        "an identity that is no UUID",
        "MALFORMED_REQUEST",
        body({"name": "Ada"}, idempotency_key=None, command_id="seven"),
        dead=True,
    ),
    Bad(
        "a key of 256 letters",
        "MALFORMED_REQUEST",
        body({"name": "Ada"}, idempotency_key="k" * 256),
        dead=True,
    ),
    Bad(
        "no identity",
        "MALFORMED_REQUEST",
        body({"name": "Ada"}, idempotency_key=None),
        dead=True,
        kafka_only=True,
    ),
    Bad(
        "an id in a header that is no UUID",
        "MALFORMED_REQUEST",
        body({"name": "Ada"}, idempotency_key=None),
        headers={"ce_id": b"not-a-uuid"},
        dead=True,
        kafka_only=True,
    ),
    Bad(
        "a header that is no text",
        "MALFORMED_REQUEST",
        _ADA,
        headers={"correlationid": b"\xff"},
        dead=True,
        kafka_only=True,
    ),
    Bad(
        "a header with a NUL",
        "MALFORMED_REQUEST",
        _ADA,
        headers={"traceparent": b"00-\x00"},
        dead=True,
        kafka_only=True,
    ),
    Bad(
        "a card number for a key",
        "CARD_DATA_FORBIDDEN",
        body({"name": "Ada"}, idempotency_key=CARD),
        dead=True,
    ),
    Bad(
        "a card number in a header",
        "CARD_DATA_FORBIDDEN",
        _ADA,
        headers={"correlationid": CARD.encode()},
        dead=True,
        kafka_only=True,
    ),
)

REJECTED: tuple[Bad, ...] = (
    Bad("a text that is a number", "MALFORMED_REQUEST", body({"name": 5})),
    Bad("a text that is nothing", "MALFORMED_REQUEST", body({"name": None})),
    Bad("no data", "MALFORMED_REQUEST", body(None)),
    Bad("data that is a list", "MALFORMED_REQUEST", body([])),
    Bad("a field that is missing", "MALFORMED_REQUEST", body({})),
    Bad("a field that nobody knows", "UNKNOWN_FIELD", body({"name": "Ada", "colour": "green"})),
    Bad("an envelope that nobody knows", "UNKNOWN_FIELD", body({"name": "Ada"}, urgent=True)),
    Bad("a text of 1,001 letters", "MALFORMED_REQUEST", body({"name": "x" * 1001})),
    Bad("a text where a list belongs", "MALFORMED_REQUEST", body({"name": "Ada", "currencies": "USD"})),
    Bad("a currency that nobody knows", "CURRENCY_UNKNOWN", body({"name": "Ada", "currencies": ["XYX"]})),
    Bad("a currency in small letters", "CURRENCY_UNKNOWN", _paid({**USD, "currency": "usd"}), PROCESS),
    Bad("an empty currency", "CURRENCY_UNKNOWN", _paid({**USD, "currency": ""}), PROCESS),
    Bad("half a cent", "MINOR_UNITS_INVALID", _paid({**USD, "amount_minor": 1.5}), PROCESS),
    Bad("whole cents as a float", "MINOR_UNITS_INVALID", _paid({**USD, "amount_minor": 100.0}), PROCESS),
    Bad("an amount in words", "MINOR_UNITS_INVALID", _paid({**USD, "amount_minor": "100"}), PROCESS),
    Bad("an amount that is true", "MINOR_UNITS_INVALID", _paid({**USD, "amount_minor": True}), PROCESS),
    Bad("more money than there is", "MINOR_UNITS_INVALID", _paid({**USD, "amount_minor": 10**16}), PROCESS),
    Bad(
        "a number of 30 digits",
        "MINOR_UNITS_INVALID",
        _paid({**USD, "amount_minor": 0}).replace(b'"amount_minor":0', b'"amount_minor":' + b"9" * 30),
        PROCESS,
    ),
    Bad("an amount without a currency", "MALFORMED_REQUEST", _paid({"amount_minor": 1}), PROCESS),
    Bad("money as a decimal", "MALFORMED_REQUEST", _paid("1.00"), PROCESS),
    Bad("an id with a space", "MALFORMED_REQUEST", _paid(USD, method_id="a b"), PROCESS),
    Bad("an empty id", "MALFORMED_REQUEST", _paid(USD, method_id=""), PROCESS),
    Bad("a word that is no choice", "MALFORMED_REQUEST", _paid(USD, initiation="MAGIC"), PROCESS),
    Bad("an unknown field far inside", "UNKNOWN_FIELD", _paid({**USD, "exponent": 2}), PROCESS),
    Bad(
        "a day that does not exist",
        "DATE_INVALID",
        _paid(USD, instrument="CASH", reference="till", received_on="2026-02-31"),
        EXTERNAL,
    ),
    Bad("a deadline that is no time", "DATE_INVALID", body({"name": "Ada"}, deadline="soon")),
    Bad("a version in words", "MALFORMED_REQUEST", body({"name": "Ada"}, expected_version="one")),
    Bad("an actor that is a name", "MALFORMED_REQUEST", body({"name": "Ada"}, actor="Ada")),
    Bad("a dry run that is a word", "MALFORMED_REQUEST", body({"name": "Ada"}, dry_run="yes")),
    Bad(
        "an empty key beside an id",
        "MALFORMED_REQUEST",
        body({"name": "Ada"}, idempotency_key="", command_id=str(uuid4())),
    ),
    Bad("a card number for a name", "CARD_DATA_FORBIDDEN", body({"name": CARD})),
    Bad(
        "a card number where a token belongs",
        "CARD_DATA_FORBIDDEN",
        body({"gateway_id": "gw", "token_ref": "4111111111111111", "type": "card"}),
        SAVE,
    ),
    Bad(
        "an empty token",
        "MALFORMED_REQUEST",
        body({"gateway_id": "gw", "token_ref": "", "type": "card"}),
        SAVE,
    ),
    Bad(
        "a kind of method that nobody knows",
        "MALFORMED_REQUEST",
        body({"gateway_id": "gw", "token_ref": "tok_1", "type": "gold"}),
        SAVE,
    ),
    Bad(
        "targets that are none", "MALFORMED_REQUEST", body({"credit_memo_id": "M", "applications": {}}), APPLY
    ),
)

BAD = (*DEAD, *REJECTED)
assert len({bad.name for bad in BAD}) == len(BAD)


def twice() -> bytes:
    """A key twice: the last one counts, at every door."""
    return _ADA.replace(b'"name":"Ada"', b'"name":5,"name":"Ada"')
