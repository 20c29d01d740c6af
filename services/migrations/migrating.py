"""Migrating: tokens that were made elsewhere become saved methods, one alone or a chunk of rows at a time.

A chunk is one command, decided row by row, each on what those before it have left; what became of every
row is one fact of the job, in the same transaction.  A row is decided once in its job, however often and
in whatever chunk it comes (`external_id`); a chunk that comes again is answered from the inbox.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

from pydantic import Field, StringConstraints

from events import ids
from events.account import DefaultPaymentMethodSet
from events.payment_method import BANK_DEBITS, PaymentMethodDetailsUpdated, PaymentMethodImported
from events.token_migration import RowDecided, TokenMigrationRowsDecided
from services.accounts import account, checking, payment_method
from services.accounts.account import Account
from services.accounts.method_rules import (
    check_takes,
    claimed,
    is_held,
    token_holder,
    token_key,
    type_needed,
    type_of,
)
from services.accounts.payment_method import (
    Last4,
    Month,
    SavedMethod,
    SecCode,
    Usage,
    Year,
)
from services.calls.gateway import Gateway
from services.calls.provider import MethodType
from services.commands import FreeText, Id, PostalAddress, Text, Token, command
from services.decision import (
    Ahead,
    Change,
    Changes,
    Claiming,
    Context,
    Evolve,
    Many,
    Names,
    Need,
    Needs,
    Releasing,
    Rule,
    States,
)
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
"""In one chunk."""

ExternalId = Annotated[str, StringConstraints(min_length=1, max_length=255)]


@dataclass(frozen=True)
class TokenizedMethod:
    """A token that was made elsewhere, and what is known of it."""

    external_id: ExternalId
    """What it is called where it comes from."""
    gateway_id: Id
    """The gateway that can charge the token."""
    token_ref: Token
    type: MethodType | None = None
    """What the instrument is; or its gateway's own name of that, as `external_type`."""
    external_type: Text | None = None
    """The gateway's own name of the type, in place of ours: its provider's map says what it means."""
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
    """True: it becomes the account's default."""


@command("payments.payment_method.import.v1")
class ImportTokenizedPaymentMethod(TokenizedMethod):
    """Take over a token that was made elsewhere; usable as soon as this is decided."""

    mode: Mode = "UPSERT"
    strict: bool = True
    """True: with INSERT_ONLY, a method that is saved already is an error; else it is passed over."""


@dataclass(frozen=True)
class MigrationRow:
    row_no: Annotated[int, Field(ge=1)]
    account_id: Id
    method: TokenizedMethod
    """The token, and what is known of it."""


@command("payments.token_migration.import_rows.v1")
class ImportRows:
    """A chunk of a running job: rows to import, and rows that are none."""

    job_id: Id
    chunk_no: Annotated[int, Field(ge=1)]
    rows: Annotated[tuple[MigrationRow, ...], Field(max_length=ROWS_MAX)]
    """The rows that can be read, at most 200."""
    refused: Annotated[tuple[Refused, ...], Field(max_length=ROWS_MAX)] = ()
    """The rows that cannot be read."""


class Terms(NamedTuple):
    """How a row is to be taken, and where it comes from."""

    mode: str
    strict: bool
    job_id: str | None = None
    verify: bool = False


# -- a row


@lru_cache(maxsize=40 * ROWS_MAX)
def _key(merchant: str, token_ref: str) -> str:
    return token_key(merchant, token_ref)


def _tokens_need(states: States, rows: Iterable[tuple[str, TokenizedMethod]]) -> Needs:
    """Of (account, method) each: the gateway, then who holds the token, and the account's record of it."""
    merchants, tokens = dict[str, str](), list[tuple[str, str]]()
    for account_id, method in rows:
        merchant = merchants.get(method.gateway_id)
        if merchant is None:
            gateway = states.find(Gateway, method.gateway_id)
            yield Need(Gateway, method.gateway_id)
            merchant = merchants[method.gateway_id] = gateway.merchant_account_id if gateway else ""
        yield from type_needed(states, method.gateway_id, method.external_type)
        if merchant:
            tokens.append((_key(merchant, method.token_ref), account_id))
    yield Names("method_token", [key for key, _ in tokens])
    held = [(token_holder(states, key), account_id) for key, account_id in tokens if is_held(states, key)]
    yield Many(SavedMethod, [method_id for (owner, method_id), account_id in held if owner == account_id])


def import_row(
    states: States, method: TokenizedMethod, terms: Terms, context: Context, row_no: int | None = None
) -> Changes:
    """A token that is nobody's makes a new record; one of the account's own is told anew."""
    owner = account.chargeable(states, context)
    account.check_takes_personal(
        owner, method.holder_name, method.holder_email, method.billing_address, method.nickname
    )
    gateway = states.get(Gateway, method.gateway_id)
    merchant = gateway.merchant_account_id
    type, extended_type = type_of(states, method.gateway_id, method)
    check_takes(gateway, method.gateway_id, type, extended_type)
    method = replace(method, type=type, external_type=None, extended_type=extended_type)
    if method.merchant_account_id not in (None, merchant):
        raise Rejected("REFERENCE_MISMATCH", f"the gateway's merchant account is {merchant}")
    if method.type in BANK_DEBITS and method.mandate_reference is None:
        raise Rejected("MANDATE_REQUIRED", f"a {method.type} is charged only with its holder's mandate")
    if method.is_default and method.usage == "ON_SESSION":
        raise Rejected("METHOD_NOT_USABLE", "a default is used without the customer", field="data.usage")
    key = _key(merchant, method.token_ref)
    holder, method_id = token_holder(states, key)
    if holder not in ("", context.account_id):  # a token belongs to one account
        raise _duplicate(holder, method_id)
    if not holder:
        method_id = context.new_id(f"method/{row_no or ''}")
        changes = _imported(key, method_id, merchant, method, terms, row_no, context)
    else:
        known = states.get(SavedMethod, method_id)
        if known.status == "REVOKED":
            message = f"the method {method_id} is REVOKED: its issuer takes it no more"
            raise Rejected("METHOD_NOT_ACTIVE", message)
        if known.status not in ("ACTIVE", "EXPIRED"):
            changes = _imported(key, method_id, merchant, method, terms, row_no, context, new=False)
        elif terms.mode == "UPSERT":
            changes = _reimported(known, method)
        elif terms.strict:
            raise _duplicate(context.account_id, method_id)
        else:
            return []
    if terms.verify:
        known = states.get(SavedMethod, method_id) if holder else _UNKNOWN
        proved = checking.of_import(method, method_id, known, owner, gateway, terms.job_id, context)
        changes = [*changes, *proved]
    if method.is_default and owner.default_method_id != method_id:
        chosen = DefaultPaymentMethodSet(method_id, owner.default_method_id)
        return [*changes, Change(Account, context.account_id, chosen, account_id=context.account_id)]
    return changes


_UNKNOWN = SavedMethod()
"""Of a token that is nobody's yet."""


def _duplicate(account_id: str, method_id: str) -> Rejected:
    return Rejected(
        "METHOD_DUPLICATE",
        f"the token is saved already, for the account {account_id}",
        account_id=account_id,
        method_id=method_id,
    )


def _reimported(known: SavedMethod, method: TokenizedMethod) -> Changes:
    """What is there already is told again, even where nothing is new: the row was taken."""
    again = Change(SavedMethod, known.method_id, PaymentMethodDetailsUpdated("REIMPORT"))
    told = payment_method.updated(known, vars(method), "REIMPORT") or [again]
    return [
        *claimed(known, method.token_ref),
        *(change._replace(account_id=known.account_id) for change in told),
    ]


def _imported(
    key: str,
    method_id: str,
    merchant: str,
    method: TokenizedMethod,
    terms: Terms,
    row_no: int | None,
    context: Context,
    *,
    new: bool = True,
) -> Changes:
    given = {name: value for name, value in vars(method).items() if value is not None}
    for name in _NOT_KEPT:
        given.pop(name, None)
    imported = PaymentMethodImported(
        method_id=method_id,
        account_id=context.account_id,
        merchant_account_id=merchant,
        fingerprint=key.rpartition("/")[2],
        job_id=terms.job_id,
        row_no=row_no,
        saved_at=context.now,
        **given,
    )
    return [
        Claiming("method_token", key, f"{context.account_id}/{method_id}", "METHOD_DUPLICATE"),
        Change(SavedMethod, method_id, imported, new, context.account_id),
    ]


_NOT_KEPT = ("merchant_account_id", "is_default", "mode", "strict")


def _alone_needs(states: States, command: ImportTokenizedPaymentMethod, context: Context) -> Needs:
    yield account.needed(context)
    yield from _tokens_need(states, [(context.account_id, command)])


def import_alone(states: States, command: ImportTokenizedPaymentMethod, context: Context) -> Changes:
    return import_row(states, command, Terms(command.mode, command.strict), context)


# -- a chunk


def chunk_key(job_id: str, chunk_no: int) -> str:
    return f"mig:{job_id}:chunk:{chunk_no}"


_IMPLIED = {part.name: part.default for part in fields(TokenizedMethod)}


def short(chunk: ImportRows) -> dict[str, Any]:
    """A chunk as it is sent: half as long, and as much faster read, without what its rows do not say."""
    rows = [{**vars(row), "method": _said(row.method)} for row in chunk.rows]
    return {**vars(chunk), "rows": rows}


def _said(method: TokenizedMethod) -> dict[str, Any]:
    said = {name: value for name, value in vars(method).items() if value != _IMPLIED[name]}
    if method.billing_address is not None:
        address = vars(method.billing_address)
        said["billing_address"] = {name: value for name, value in address.items() if value is not None}
    return said


def _chunk_needs(states: States, command: ImportRows, context: Context) -> Needs:
    yield Need(TokenMigrationJob, command.job_id)
    yield Many(Account, {row.account_id for row in command.rows})
    yield from _tokens_need(states, [(row.account_id, row.method) for row in command.rows])


def import_rows(states: States, command: ImportRows, context: Context) -> Changes:
    job = of(states, command.job_id)
    if command.chunk_no in job.chunks:
        return []
    check_status(job, "RUNNING")
    assert job.created is not None
    numbers = [row.row_no for row in (*command.rows, *command.refused)]
    if len(set(numbers)) < len(numbers):
        raise Rejected("MALFORMED_REQUEST", "two rows have one number", field="data.rows")
    chunk = _Chunk(states, job, command.job_id, context)
    for row in command.rows:
        chunk.decide(row)
    for row in command.refused:
        chunk.refuse(row)
    changes = [] if job.created.dry_run else chunk.changes
    rows = tuple(sorted(chunk.decided, key=lambda row: row.row_no))
    recorded = changed(command.job_id, TokenMigrationRowsDecided(command.chunk_no, rows))
    outcomes = Counter(job.outcomes) + Counter(row.outcome for row in rows)
    if outcomes.total() < job.created.rows:
        return [*changes, recorded]
    return [*changes, recorded, completed(command.job_id, outcomes)]


_EVOLVE: Mapping[type[Any], Evolve] = {SavedMethod: payment_method.evolve, Account: account.evolve}


class _Chunk:
    """Rows, decided one after the other."""

    def __init__(self, states: States, job: TokenMigrationJob, job_id: str, context: Context) -> None:
        assert job.created is not None
        self.decided: list[RowDecided] = []
        self.changes: list[Change | Claiming | Releasing] = []
        self._job, self._ahead, self._parked = job, Ahead(states, _EVOLVE), context.parked
        self._terms = Terms(job.created.mode, job.created.strict, job_id, job.created.verify)
        self._context = replace(context)
        self._names = set[str]()

    def decide(self, row: MigrationRow) -> None:
        """Once: a row that was decided in an earlier chunk is not decided again."""
        account_id, row_no, external_id = row.account_id, row.row_no, row.method.external_id
        if self._job.rows.get(external_id) == row_no:
            return
        try:
            changes = self._changes(row, external_id)
        except Rejected as rejected:
            outcome = "PARKED" if rejected.code == "PARKED" else "REJECTED"
            told = RowDecided(row_no, external_id, outcome, account_id, None, rejected.code, rejected.message)
            self.decided.append(told)
            return
        self._ahead.take(changes)
        self.changes += changes
        outcome, method_id = "SKIPPED", None
        for change in changes:  # the first tells: its check comes after it
            if isinstance(change, Change) and change.state is SavedMethod:
                imported = type(change.fact) is PaymentMethodImported
                outcome, method_id = "IMPORTED" if imported else "UPDATED", change.id
                break
        self.decided.append(RowDecided(row_no, external_id, outcome, account_id, method_id))

    def _changes(self, row: MigrationRow, external_id: str) -> Changes:
        context = self._context
        context.account_id = row.account_id
        if external_id in self._names or external_id in self._job.rows:
            raise Rejected("IDEMPOTENCY_KEY_REUSED", "an earlier row has the same external_id")
        self._names.add(external_id)
        if self._parked and ids.home(context.tenant, row.account_id) in self._parked:
            raise Rejected("PARKED", f"an earlier command of the account {row.account_id} is parked")
        return import_row(self._ahead, row.method, self._terms, context, row.row_no)

    def refuse(self, row: Refused) -> None:
        if row.row_no not in self._job.refused:
            self.decided.append(refused(row))


def _home(command: ImportRows, tenant: str) -> str:
    return home_of(command.job_id)


RULES = (
    Rule(ImportTokenizedPaymentMethod, _alone_needs, import_alone),
    Rule(ImportRows, _chunk_needs, import_rows, _home),
)
