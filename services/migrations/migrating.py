"""Migrating: one row becomes a saved method; a chunk of rows is many such commands in one record.

A chunk travels as one record of the job's home; at the door it becomes the commands of its rows, each
with an identity of its own (`mig:{job}:{external_id}`), and last the job's, which is told what became
of them.  Sent again, every one of them is answered from the inbox.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, cast
from uuid import UUID

import orjson
from pydantic import Field, StringConstraints

from events import ids
from events.account import DefaultPaymentMethodSet
from events.payment_method import PaymentMethodDetailsUpdated, PaymentMethodImported
from events.token_migration import RowDecided, TokenMigrationRowsDecided
from services.accounts import account, payment_method
from services.accounts.method_rules import check_takes, claimed, mark_of, token_key
from services.accounts.payment_method import (
    BANK_DEBITS,
    Last4,
    MethodType,
    Month,
    SavedMethod,
    SecCode,
    Usage,
    Year,
)
from services.calls.gateway import Gateway
from services.commands import (
    TYPES,
    Command,
    FreeText,
    HomeId,
    Id,
    PostalAddress,
    Text,
    Token,
    canonical_fingerprint,
    command,
)
from services.decision import Change, Changes, Claiming, Context, Name, Need, Needs, Rule, States, Told
from services.errors import Rejected
from services.migrations.token_migration import (
    Mode,
    Refused,
    TokenMigrationJob,
    changed,
    check_status,
    completed,
    home_of,
    of,
    refused,
)

ROWS_MAX = 200
"""In one chunk (domain 3.8)."""

ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=255)]


@command("payments.payment_method.import.v1")
class ImportTokenizedPaymentMethod:
    """Take over a token that was made elsewhere; usable as soon as this is decided."""

    external_id: ExternalId
    gateway_id: Id
    type: MethodType
    token_ref: Token
    merchant_account_id: Id | None = None
    """As a check: the gateway's must be the same."""
    gateway_reference: Token | None = None
    async_gateway_ref: Token | None = None
    extended_type: Text | None = None
    holder_name: FreeText | None = None
    holder_email: FreeText | None = None
    expiry_month: Month | None = None
    expiry_year: Year | None = None
    last4: Last4 | None = None
    network: Text | None = None
    billing_address: PostalAddress | None = None
    nickname: FreeText | None = None
    sec_code: SecCode | None = None
    usage: Usage = "OFF_SESSION"
    mandate_reference: Text | None = None
    mandate_accepted_at: datetime | None = None
    network_transaction_id: Text | None = None
    is_default: bool = False
    mode: Mode = "UPSERT"
    strict: bool = True
    job_id: Id | None = None
    row_no: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True)
class MigrationRow:
    row_no: Annotated[int, Field(ge=1)]
    account_id: HomeId
    method: ImportTokenizedPaymentMethod


@command("payments.token_migration.import_rows.v1")
class ImportRows:
    """A chunk of a running job: rows to import, and rows that are none."""

    job_id: Id
    chunk_no: Annotated[int, Field(ge=1)]
    rows: Annotated[tuple[MigrationRow, ...], Field(max_length=ROWS_MAX)]
    refused: Annotated[tuple[Refused, ...], Field(max_length=ROWS_MAX)] = ()
    dry_run: bool = False


# -- a row


def _import_needs(states: States, command: ImportTokenizedPaymentMethod, context: Context) -> Needs:
    yield Need(Gateway, command.gateway_id)
    yield account.needed(context)
    if command.job_id:
        yield Need(TokenMigrationJob, command.job_id)
    gateway = states.find(Gateway, command.gateway_id)
    if gateway is not None and gateway.status:
        held = _held(states, gateway, command, context)
        yield held.name
        yield Need(SavedMethod, held.method_id)


class _Held(NamedTuple):
    """A token, whose it is, and the account's own record of it: a new one where there is none."""

    name: Name
    owner: str
    """An account; empty while the token is nobody's."""
    method_id: str
    """The owner's record, where the token has an owner."""


def _held(states: States, gateway: Gateway, command: ImportTokenizedPaymentMethod, context: Context) -> _Held:
    merchant = gateway.merchant_account_id
    name, new_id = _named(context.tenant, context.account_id, merchant, command.gateway_id, command.token_ref)
    holder = states.owner(name.kind, name.key)
    if holder is None:
        return _Held(name, "", new_id)
    owner, _, method_id = holder.partition("/")
    return _Held(name, owner, method_id)


@lru_cache(maxsize=8 * ROWS_MAX)
def _named(tenant: str, account_id: str, merchant: str, gateway_id: str, token_ref: str) -> tuple[Name, str]:
    """The name that a token is claimed by, and the id of a new record of it."""
    mark = f"{gateway_id}/{mark_of(token_ref)}"
    name = Name("method_token", token_key(merchant, token_ref))
    return name, ids.method_id(tenant, account_id, merchant, mark)


def import_row(states: States, command: ImportTokenizedPaymentMethod, context: Context) -> Changes:
    mode, strict = command.mode, command.strict
    if command.job_id:
        job = of(states, command.job_id)
        check_status(job, "RUNNING")
        assert job.created is not None
        mode, strict = cast("Mode", job.created.mode), job.created.strict
    owner = account.of(states, context)
    account.check_takes_personal(
        owner, command.holder_name, command.holder_email, command.billing_address, command.nickname
    )
    gateway = states.get(Gateway, command.gateway_id)
    check_takes(gateway, command.gateway_id, command.type, command.extended_type)
    if command.merchant_account_id not in (None, gateway.merchant_account_id):
        raise Rejected(
            "REFERENCE_MISMATCH", f"the gateway's merchant account is {gateway.merchant_account_id}"
        )
    if command.type in BANK_DEBITS and command.mandate_reference is None:
        raise Rejected("MANDATE_REQUIRED", f"a {command.type} is charged only with its holder's mandate")
    held = _held(states, gateway, command, context)
    method_id = held.method_id
    if held.owner not in ("", context.account_id):  # it belongs to one account (domain 3.8)
        raise _duplicate(held.owner, method_id)
    method = states.get(SavedMethod, method_id)
    if method.status in ("ACTIVE", "EXPIRED"):
        if mode == "INSERT_ONLY" and not strict:
            return []
        if mode == "INSERT_ONLY":
            raise _duplicate(context.account_id, method_id)
        changes = _reimported(method, command)
    elif method.status == "REVOKED":
        raise Rejected("METHOD_NOT_ACTIVE", f"the method {method_id} is REVOKED: its issuer takes it no more")
    else:
        changes = _imported(held, gateway, command, context)
    if command.is_default and command.usage == "ON_SESSION":
        raise Rejected("METHOD_NOT_USABLE", "a default is used without the customer", field="data.usage")
    if command.is_default and owner.default_method_id != method_id:
        chosen = DefaultPaymentMethodSet(method_id, owner.default_method_id)
        return [*changes, account.changed(context, chosen)]
    return changes


def _duplicate(account_id: str, method_id: str) -> Rejected:
    return Rejected(
        "METHOD_DUPLICATE",
        f"the token is saved already, for the account {account_id}",
        account_id=account_id,
        method_id=method_id,
    )


def _reimported(method: SavedMethod, command: ImportTokenizedPaymentMethod) -> Changes:
    """What is there already is told again, even where nothing is new: the row was taken."""
    changes = payment_method.updated(method, vars(command), "REIMPORT")
    again = Change(SavedMethod, method.method_id, PaymentMethodDetailsUpdated("REIMPORT"))
    return [*claimed(method, command.token_ref), *(changes or [again])]


_TAKEN = (
    "token_ref", "type", "usage", "gateway_reference", "async_gateway_ref", "network", "last4",
    "expiry_month", "expiry_year", "extended_type", "sec_code", "holder_name", "holder_email",
    "billing_address", "nickname", "mandate_reference", "mandate_accepted_at", "network_transaction_id",
)  # fmt: skip


def _imported(
    held: _Held, gateway: Gateway, command: ImportTokenizedPaymentMethod, context: Context
) -> Changes:
    given = vars(command)
    imported = PaymentMethodImported(
        method_id=held.method_id,
        account_id=context.account_id,
        external_id=command.external_id,
        merchant_account_id=gateway.merchant_account_id,
        gateway_id=command.gateway_id,
        fingerprint=held.name.key.rpartition("/")[2],
        job_id=command.job_id,
        row_no=command.row_no,
        **{name: given[name] for name in _TAKEN},
    )
    owner = f"{context.account_id}/{held.method_id}"
    return [
        Claiming(*held.name, owner, "METHOD_DUPLICATE"),
        Change(SavedMethod, held.method_id, imported),
    ]


# -- a chunk


def row_key(job_id: str, external_id: str) -> str:
    """What identifies a row, however often it is sent (domain 3.8)."""
    return f"mig:{job_id}:{external_id}"


def chunk_key(job_id: str, chunk_no: int) -> str:
    return f"mig:{job_id}:chunk:{chunk_no}"


_IMPLIED = {part.name: part.default for part in fields(ImportTokenizedPaymentMethod)}


def short(chunk: ImportRows) -> dict[str, Any]:
    """A chunk as it is sent: half as long, and as much faster read, without what its rows do not say."""
    rows = [{**vars(row), "method": _said(row.method)} for row in chunk.rows]
    return {**vars(chunk), "rows": rows}


def _said(method: ImportTokenizedPaymentMethod) -> dict[str, Any]:
    said = {name: value for name, value in vars(method).items() if value != _IMPLIED[name]}
    if method.billing_address is not None:
        address = vars(method.billing_address)
        said["billing_address"] = {name: value for name, value in address.items() if value is not None}
    return said


def expanded(chunk: Command) -> list[Command]:
    """The commands of a chunk's rows, and then its own; any other command, alone."""
    data = chunk.data
    if not isinstance(data, ImportRows) or chunk.dry_run:
        return [chunk]
    meta = orjson.dumps({**orjson.loads(chunk.meta), "causation_id": str(chunk.command_id)})
    return [*(_row_command(chunk, data, row, meta) for row in data.rows), chunk]


_ROW_TYPE = TYPES[ImportTokenizedPaymentMethod]


def _row_command(chunk: Command, data: ImportRows, row: MigrationRow, meta: bytes) -> Command:
    """The same command as if it had come alone: its body is one that `decode` reads."""
    method = _of_job(row, data.job_id)
    sent = orjson.dumps(method, option=orjson.OPT_SORT_KEYS)
    key = row_key(data.job_id, method.external_id)
    head = {"tenant_id": chunk.tenant, "account_id": row.account_id, "actor": chunk.actor}
    body = orjson.dumps({**head, "idempotency_key": key})
    return Command(
        _row_id(chunk.tenant, data.job_id, method.external_id),
        _ROW_TYPE,
        chunk.tenant,
        row.account_id,
        method,
        canonical_fingerprint(chunk.tenant, _ROW_TYPE, sent),
        chunk.actor,
        meta,
        expected_version=None,
        deadline=None,
        dry_run=data.dry_run,
        value=b'%s,"data":%s}' % (body[:-1], sent),
        home=ids.home(chunk.tenant, row.account_id),
    )


def _of_job(row: MigrationRow, job_id: str) -> ImportTokenizedPaymentMethod:
    """The row's method, told where it comes from; `replace` would take five times as long."""
    method = object.__new__(ImportTokenizedPaymentMethod)
    method.__dict__.update(vars(row.method), job_id=job_id, row_no=row.row_no)
    return method


@lru_cache(maxsize=8 * ROWS_MAX)
def _row_id(tenant: str, job_id: str, external_id: str) -> UUID:
    return ids.command_id(tenant, _ROW_TYPE, row_key(job_id, external_id))


def _chunk_needs(states: States, command: ImportRows, context: Context) -> Needs:
    yield Need(TokenMigrationJob, command.job_id)


def _row_ids(command: ImportRows, context: Context) -> Sequence[UUID]:
    return [_row_id(context.tenant, command.job_id, row.method.external_id) for row in command.rows]


def import_rows(states: States, command: ImportRows, context: Context) -> Changes:
    job = of(states, command.job_id)
    if command.chunk_no in job.chunks:
        return []
    check_status(job, "RUNNING")
    assert job.created is not None
    if command.dry_run != job.created.dry_run:
        message = "the job and its chunk do not agree on dry_run"
        raise Rejected("MALFORMED_REQUEST", message, field="data.dry_run")
    told = context.told
    assert told is not None, "a chunk follows its rows"
    if len(told) != len(command.rows):
        raise Rejected("MALFORMED_REQUEST", "an external_id is there twice", field="data.rows")
    decided = [_decided(row, became) for row, became in zip(command.rows, told.values(), strict=True)]
    rows = tuple(sorted([*decided, *map(refused, command.refused)], key=lambda row: row.row_no))
    recorded = changed(command.job_id, TokenMigrationRowsDecided(command.chunk_no, rows))
    outcomes = Counter(job.outcomes) + Counter(row.outcome for row in rows)
    if outcomes.total() < job.created.rows:
        return [recorded]
    return [recorded, completed(command.job_id, outcomes)]


def _decided(row: MigrationRow, told: Told) -> RowDecided:
    outcome: dict[str, Any] = orjson.loads(told.outcome)
    if told.status in ("REJECTED", "PARKED"):
        code, message = outcome["code"], outcome["message"]
        return RowDecided(
            row.row_no, row.method.external_id, told.status, row.account_id, None, code, message
        )
    streams: dict[str, int] = outcome.get("streams") or {
        event["stream"]: event["version"] for event in outcome.get("events", ())
    }
    return RowDecided(row.row_no, row.method.external_id, *_taken(streams, row.account_id))


def _taken(streams: dict[str, int], account_id: str) -> tuple[str, str, str | None]:
    """The outcome, the account and the method of a row that was accepted."""
    for stream, version in streams.items():
        _, kind, id = ids.parts(stream)
        if kind == SavedMethod.KIND:
            return "IMPORTED" if version == 1 else "UPDATED", account_id, id
    return "UPDATED" if streams else "SKIPPED", account_id, None


def _home(command: ImportRows, tenant: str) -> str:
    return home_of(command.job_id)


RULES = (
    Rule(ImportTokenizedPaymentMethod, _import_needs, import_row),
    Rule(ImportRows, _chunk_needs, import_rows, _home, follows=_row_ids),
)
