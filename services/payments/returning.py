"""Returns: a bank takes a processed payment back, days after it said that it had paid.

Invariant: what was still here of the payment is returned, and its invoices are open
again; what was gone already is owed by the customer, and a person hears of it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from events.money import Money
from events.payment import PaymentOverdraftReduced, PaymentOverdraftWrittenOff, PaymentReturned
from events.shapes import Outcome
from gateways.codes import UNKNOWN, Meaning, classify
from services.accounts import account, method_health
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.applications import freeing, guards
from services.applications.application import Why
from services.commands import FreeText, Id, Text, Token, command
from services.decision import Change, Changes, Context, Draft, Need, Needs, Rule, States
from services.errors import Rejected, invalid_state
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments.payment import Payment
from services.schedules import outcomes
from services.tenants import exceptions, rates, tenant_settings

_EVOLVE = {Payment: payments.evolve, Invoice: invoices.evolve}

SCHEMES = {"us_bank_account": "ach", "sepa_debit": "sepa", "bacs_debit": "bacs"}
"""Whose return codes a type of method knows."""

Category = Literal[
    "CardLimit", "PaymentProcessing", "PaymentInformation", "Security", "GatewayConnection", "Unknown"
]


@command("payments.payment.record_return.v1")
class RecordPaymentReturn:
    """A bank's return of a processed payment (R01, AM04, a cheque that bounced): a fact, whoever tells it.

    Without a `category`, the code is read as one of the scheme of the payment's method.
    """

    payment_id: Id
    code: Text
    """The bank's own, such as R01 or AM04."""
    source: Literal["GATEWAY", "NOTIFICATION", "RECONCILER", "OPERATOR"]
    returned_at: datetime
    """When the bank says that it did."""
    category: Category | None = None
    hard: bool = False
    """With a `category`: it will not succeed with this instrument."""
    never_retry: bool = False
    """With a `category`: the card network forbids to try it again."""
    gateway_ref: Token | None = None


@command("payments.payment.write_off_overdraft.v1")
class WriteOffOverdraft:
    """Give up what the customer owes of a payment that its bank took back after it was refunded."""

    payment_id: Id
    reason: FreeText


def _needs(states: States, command: RecordPaymentReturn, context: Context) -> Needs:
    yield from freeing.needed(states, command.payment_id, context, command.returned_at)
    yield account.needed(context)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    payment = states.find(Payment, command.payment_id)
    if payment and payment.method and payment.method.method_id:
        yield Need(SavedMethod, payment.method.method_id)
    if payment:
        yield from outcomes.needed(states, payment, None, context)


def record_return(states: States, command: RecordPaymentReturn, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if payment.status == "RETURNED":
        return []
    if payment.status != "PROCESSED":
        raise invalid_state("payment", payment.status, ["PROCESSED"])
    check_takeable(payment)
    meaning = _meaning(payment, command)
    draft, id = Draft(states, _EVOLVE), command.payment_id
    freeing.free(draft, id, payment.received, Why(command.returned_at, "RETURN"), context)
    payment = draft.get(Payment, id)
    here = payment.unapplied
    given_back, sent_on = (
        payment.refunded + payment.refund_reserved,
        payment.transfer_reserved + payment.transferred,
    )
    taken, owed = Money(here + given_back + sent_on, payment.currency), Money(given_back, payment.currency)
    returned = PaymentReturned(
        code=command.code,
        category=meaning.category,
        hard=meaning.hard,
        never_retry=meaning.never_retry,
        returned=Money(here, payment.currency),
        overdrawn=Money(given_back + sent_on, payment.currency),
        source=command.source,
        returned_at=command.returned_at,
        gateway_ref=command.gateway_ref,
        corporate=rates.snapshot(states, taken, command.returned_at, context),
    )
    draft.record(Payment, id, returned)
    outcome = _outcome(command, meaning)
    _blame(draft, states, payment, outcome, context)
    draft.changes += outcomes.returned(states, payment, outcome, tuple(draft.changes), context)
    if given_back:
        message = f"{owed} of it were refunded, or on their way back: the customer owes them"
        case = exceptions.raised(context, "RETURN_AFTER_REFUND", "payment", id, message, owed)
        draft.changes.append(case)
    return draft.changes


def check_takeable(payment: Payment) -> None:
    """Whether a bank can have taken it back.

    Raises `PAYMENT_NOT_GATEWAY_LINKED` for money of another account's payment, `OPERATION_IN_FLIGHT`: it
    may be gone already, and nobody can hold or return it twice.
    """
    if payment.type == "TRANSFER":
        told_of = f"payment {payment.from_payment_id} of account {payment.from_account_id}"
        raise Rejected("PAYMENT_NOT_GATEWAY_LINKED", f"a bank knows nothing of it: tell it of {told_of}")
    if payment.cancellation_key is not None:
        raise Rejected(
            "OPERATION_IN_FLIGHT", "the payment is being canceled: tell it again when that is known"
        )


def _meaning(payment: Payment, command: RecordPaymentReturn) -> Meaning:
    if command.category is not None:
        hardness = "N" if command.never_retry else "H" if command.hard else "S"
        return Meaning(command.category, hardness)
    scheme = SCHEMES.get(payment.method.type) if payment.method else None
    return classify(scheme, command.code) if scheme else UNKNOWN


def _outcome(command: RecordPaymentReturn, meaning: Meaning) -> Outcome:
    """The return, as the decline that it is."""
    return Outcome(
        "Decline",
        category=meaning.category,
        hard=meaning.hard,
        never_retry=meaning.never_retry,
        raw_code=command.code,
    )


def _blame(draft: Draft, states: States, payment: Payment, outcome: Outcome, context: Context) -> None:
    """What it says of the instrument: a mandate that was revoked is never used again."""
    if payment.method is None or payment.method.method_id is None:
        return
    method, owner = states.get(SavedMethod, payment.method.method_id), states.get(Account, context.account_id)
    if outcome.never_retry and method.status in ("ACTIVE", "EXPIRED"):
        draft.changes += method_health.revoked(method, owner, outcome, context)
    else:
        draft.changes += method_health.after_outcome(method, owner, outcome, False, context)


def reduce_overdraft(draft: Draft, payment_id: str) -> None:
    """Money that comes free on a payment which the bank took back pays for what is overdrawn."""
    payment = draft.get(Payment, payment_id)
    amount = min(payment.overdrawn, payment.unapplied)
    if amount > 0:
        left = Money(payment.overdrawn - amount, payment.currency)
        draft.record(Payment, payment_id, PaymentOverdraftReduced(Money(amount, payment.currency), left))


def _write_off_needs(states: States, command: WriteOffOverdraft, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)


def write_off(states: States, command: WriteOffOverdraft, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if payment.overdrawn == 0:
        raise Rejected("NOTHING_TO_CHANGE", "nothing of the payment is overdrawn")
    amount = Money(payment.overdrawn, payment.currency)
    return [Change(Payment, command.payment_id, PaymentOverdraftWrittenOff(amount, command.reason))]


RULES = (
    Rule(RecordPaymentReturn, _needs, record_return),
    Rule(WriteOffOverdraft, _write_off_needs, write_off),
)
