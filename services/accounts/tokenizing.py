"""Tokenizing: what a client-side component holds under a handle becomes a gateway's token.

Invariant: an instrument's number never reaches Tender, only its handle; one record per
account, merchant account and instrument; the method can be used once the gateway has said yes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from events import ids
from events.frozen import frozen
from events.money import Money
from events.payment_method import (
    BANK_DEBITS,
    PaymentMethodActivated,
    PaymentMethodErrored,
    PaymentMethodTokenizationFailed,
    PaymentMethodTokenizationRequested,
    PaymentMethodTokenized,
)
from events.shapes import Method
from services.accounts import account, checking, method_health, payment_method, verifying
from services.accounts.account import Account
from services.accounts.method_rules import check_consent, check_owner, claiming, mark_of
from services.accounts.payment_method import (
    LIVE,
    Last4,
    Month,
    SavedMethod,
    SecCode,
    Usage,
    Year,
)
from services.calls import calling
from services.calls.calling import GatewayCall, Report, Settled
from services.calls.gateway import Gateway, check_accepts
from services.calls.provider import MethodType
from services.commands import Currency, FreeText, Id, PostalAddress, Text, Token, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States
from services.errors import Rejected


@frozen
class Card:
    """A card in a component's keeping; the number is there, never here."""

    handle: Token
    network: Text
    category: Text
    """CreditCard or DebitCard."""
    expiry_month: Month
    expiry_year: Year
    last4: Last4 | None = None


@frozen
class Bank:
    """A bank account in a component's keeping; the account's number is there, never here."""

    handle: Token
    type: Literal["us_bank_account", "sepa_debit", "bacs_debit", "au_becs_debit"]
    """Which scheme debits it: us_bank_account (ACH), sepa_debit, bacs_debit or au_becs_debit."""
    bank_code: Text
    bank_name: Text | None = None
    account_type: Text | None = None
    """The kind of bank account, such as checking or savings; only shown."""
    holder_type: Text | None = None
    """Whether a person or a company holds it, in the gateway's own word; only kept."""
    last4: Last4 | None = None
    sec_code: SecCode | None = None


@command("payments.payment_method.tokenize.v1")
class TokenizePaymentMethod:
    """Turn a handle of a client-side component into a saved method; exactly one of card and bank."""

    gateway_id: Id
    holder_name: FreeText
    card: Card | None = None
    """A card; either this or `bank`."""
    bank: Bank | None = None
    """A bank account; either this or `card`."""
    fingerprint: Text | None = None
    """Tells whether two instruments are the same, as the component says; without it, the handle stands for
    the instrument."""
    currency: Currency | None = None
    """The currency in which the gateway checks it, by a charge of nothing; without it, the account's
    first."""
    gateway_reference: Token | None = None
    usage: Usage = "OFF_SESSION"
    owner_type: Literal["ACCOUNT", "CONTACT"] = "ACCOUNT"
    contact_id: Id | None = None
    holder_email: FreeText | None = None
    billing_address: PostalAddress | None = None
    nickname: FreeText | None = None
    shared_within_account: bool = False
    merchant_created: bool = False
    """Somebody other than the payer saves it: his recorded consent (`mandate_accepted_at`) is needed."""
    moto: bool = False
    """The payer gave it by mail or telephone; only Stripe and Adyen keep such a method."""
    mandate_reference: Text | None = None
    mandate_accepted_at: datetime | None = None


@command("payments.payment_method.record_tokenization_outcome.v1")
class RecordTokenizationOutcome(Report):
    """What became of a tokenization: from the gateway, a notification, an inquiry, a person."""


def _instrument(command: TokenizePaymentMethod) -> Card | Bank:
    """Raises `MALFORMED_REQUEST` unless there is exactly one."""
    given = [one for one in (command.card, command.bank) if one is not None]
    if len(given) != 1:
        raise Rejected("MALFORMED_REQUEST", "give exactly one of card and bank", field="data.card")
    return given[0]


def _type(instrument: Card | Bank) -> MethodType:
    return instrument.type if isinstance(instrument, Bank) else "card"


def _method_id(states: States, command: TokenizePaymentMethod, context: Context) -> str | None:
    gateway = states.find(Gateway, command.gateway_id)
    if gateway is None or not gateway.status or (command.card is None) == (command.bank is None):
        return None
    handle = _instrument(command).handle
    mark = command.fingerprint or f"{command.gateway_id}/{mark_of(handle)}"
    return ids.method_id(context.tenant, context.account_id, gateway.merchant_account_id, mark)


def _tokenize_needs(states: States, command: TokenizePaymentMethod, context: Context) -> Needs:
    yield Need(Gateway, command.gateway_id)
    yield account.needed(context)
    method_id = _method_id(states, command, context)
    if method_id:
        yield Need(SavedMethod, method_id)


def tokenize(states: States, command: TokenizePaymentMethod, context: Context) -> Changes:
    owner = account.chargeable(states, context)
    account.check_takes_personal(owner, command.holder_name)
    instrument = _instrument(command)
    gateway, type = states.get(Gateway, command.gateway_id), _type(instrument)
    nothing = Money(0, _currency(command, owner, gateway))
    check_accepts(gateway, command.gateway_id, "TOKENIZE", nothing, type)
    check_consent(command, gateway, command.gateway_id)
    check_owner(command)
    method_id = _method_id(states, command, context)
    assert method_id is not None
    method = states.get(SavedMethod, method_id)
    shown = _shown(instrument)
    if method.status == "AWAITING":
        raise Rejected("OPERATION_IN_FLIGHT", f"the method {method_id} is being tokenized", id=method_id)
    if method.status == "ACTIVE":  # the same instrument, and its token is good
        return payment_method.updated(method, {**vars(command), **shown}, "USER")
    attempt_no = method.attempt_no + 1
    key, planned = calling.plan(
        context,
        origin=method_id,
        operation="TOKENIZE",
        attempt_no=attempt_no,
        target_kind="spm",
        target_id=method_id,
        gateway_id=command.gateway_id,
        amount=nothing,
        merchant_reference=method_id,
        method=Method(
            type=type,
            token_ref=instrument.handle,
            gateway_id=command.gateway_id,
            method_id=method_id,
            gateway_reference=command.gateway_reference,
            network=shown.get("network"),
            last4=instrument.last4,
            expiry_month=shown.get("expiry_month"),
            expiry_year=shown.get("expiry_year"),
            mandate_reference=command.mandate_reference,
            sec_code=shown.get("sec_code"),
        ),
        initiator="MERCHANT" if command.merchant_created else "CUSTOMER",
        is_first_in_series=True,
    )
    requested = PaymentMethodTokenizationRequested(
        method_id=method_id,
        account_id=context.account_id,
        owner_type=command.owner_type,
        contact_id=command.contact_id,
        merchant_account_id=gateway.merchant_account_id,
        gateway_id=command.gateway_id,
        handle=instrument.handle,
        type=type,
        fingerprint=command.fingerprint or mark_of(instrument.handle),
        attempt_no=attempt_no,
        gateway_idempotency_key=key,
        requested_at=context.now,
        usage=command.usage,
        gateway_reference=command.gateway_reference,
        last4=instrument.last4,
        holder_name=command.holder_name,
        holder_email=command.holder_email,
        billing_address=command.billing_address,
        nickname=command.nickname,
        shared_within_account=command.shared_within_account,
        merchant_created=command.merchant_created,
        moto=command.moto,
        mandate_reference=command.mandate_reference,
        mandate_accepted_at=command.mandate_accepted_at,
        **shown,
    )
    return [Change(SavedMethod, method_id, requested), planned]


def _currency(command: TokenizePaymentMethod, owner: Account, gateway: Gateway) -> str:
    known = [*owner.currencies, *(gateway.capabilities.currencies or ()), "USD"]
    return command.currency or known[0]


def _shown(instrument: Card | Bank) -> dict[str, Any]:
    """What of an instrument may be shown."""
    if isinstance(instrument, Card):
        return {
            "network": instrument.network,
            "card_category": instrument.category,
            "expiry_month": instrument.expiry_month,
            "expiry_year": instrument.expiry_year,
        }
    return {
        "bank_name": instrument.bank_name,
        "bank_code": instrument.bank_code,
        "bank_account_type": instrument.account_type,
        "bank_holder_type": instrument.holder_type,
        "sec_code": instrument.sec_code,
    }


# -- the outcome


def _outcome_needs(states: States, command: RecordTokenizationOutcome, context: Context) -> Needs:
    yield from calling.needed(states, command.operation_key, context)
    yield account.needed(context)
    call = states.find(GatewayCall, command.operation_key)
    if call and call.planned:
        yield Need(SavedMethod, call.planned.target_id)


def record_outcome(states: States, command: RecordTokenizationOutcome, context: Context) -> Changes:
    planned, settled = calling.settle(states, command, context)
    method = states.get(SavedMethod, planned.target_id)
    if method.account_id != context.account_id:
        raise Rejected("ACCOUNT_MISMATCH", f"the method {planned.target_id} belongs to another account")
    if planned.operation == verifying.OPERATION:
        owner = states.get(Account, context.account_id)
        return [*settled.changes, *verifying.compared(method, owner, settled, command, context)]
    if method.checking == planned.idempotency_key and method.status in LIVE:
        owner = states.get(Account, context.account_id)
        return [*settled.changes, *checking.checked(method, owner, settled, command, context)]
    if method.operation_key != planned.idempotency_key or method.status not in LIVE:
        return settled.changes  # deleted, or saved in another way, meanwhile
    owner = states.get(Account, context.account_id)
    return [*settled.changes, *_told(method, owner, settled, command, context)]


def _told(method: SavedMethod, owner: Account, settled: Settled, report: Report, context: Context) -> Changes:
    outcome, waited = settled.outcome, method.awaits is not None or method.status == "ERRORED"
    match settled.verdict:
        case "PROCESSED" | "LATE_SUCCESS":
            token = outcome.gateway_ref or method.token_ref
            claim = claiming(method, token, "")
            if waited:
                return [claim, _on(method, PaymentMethodActivated(report.source, token))]
            scheme_id = outcome.network_transaction_id
            return [claim, _on(method, PaymentMethodTokenized(token, report.source, None, scheme_id))]
        case "FAILED" if not waited:
            failed = PaymentMethodTokenizationFailed(
                outcome.result_code, outcome.category, outcome.raw_code, outcome.raw_message, outcome.hard
            )
            return [_on(method, failed)]
        case "FAILED" | "CONTRADICTED":
            errored = PaymentMethodErrored(report.source, outcome.category, outcome.raw_code)
            cleared = method_health.cleared_default(owner, method, context, "METHOD_ERRORED")
            return [_on(method, errored), *cleared]
        case "PENDING" | "REQUIRES_ACTION" | "REQUIRES_REVIEW" if not waited:
            ref = outcome.gateway_ref or method.token_ref
            return [_on(method, PaymentMethodTokenized(ref, report.source, _awaits(method, settled.verdict)))]
        case _:
            return []


def _awaits(method: SavedMethod, verdict: str) -> str:
    if verdict == "REQUIRES_REVIEW":
        return "REVIEW"
    proving = verdict == "REQUIRES_ACTION" and method.type in BANK_DEBITS
    return "MICRO_DEPOSITS" if proving else "NOTIFICATION"


def _on(method: SavedMethod, fact: object) -> Change:
    return Change(SavedMethod, method.method_id, fact)


RULES = (
    Rule(TokenizePaymentMethod, _tokenize_needs, tokenize),
    Rule(RecordTokenizationOutcome, _outcome_needs, record_outcome),
)
