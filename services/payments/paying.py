"""Paying: money is asked for at a gateway, or recorded from outside, and applied where it was meant to go.

Invariant (domain 2.6): the intent is durable before anything is sent; one outcome, whatever its
source; what arrives is applied as far as it fits, and the rest stays unapplied, never lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from events.authorization import AuthorizationCaptureFailed
from events.money import Money
from events.payment import (
    ExternalPaymentDrafted,
    ExternalPaymentRecorded,
    PaymentActionRequired,
    PaymentApplicationFailed,
    PaymentCanceled,
    PaymentCancellationFailed,
    PaymentCancellationRequested,
    PaymentFailed,
    PaymentHeldForReview,
    PaymentOutcomeUnknown,
    PaymentPending,
    PaymentProcessed,
)
from events.shapes import Intended, Method, Outcome
from services.accounts import account, payment_method
from services.accounts.account import Account
from services.accounts.payment_method import SavedMethod
from services.applications import application, guards
from services.applications.application import Why
from services.authorizations import authorization
from services.authorizations.authorization import Authorization
from services.calls import calling
from services.calls.accompanying import AdditionalData, Payer, accompanying
from services.calls.calling import GatewayCall, Report, Settled
from services.calls.gateway import Gateway
from services.calls.seconding import awaits_second
from services.commands import Amount, FreeText, Id, Text, Token, command
from services.credits import writing_off
from services.decision import Change, Changes, Claiming, Context, Draft, Need, Needs, Releasing, Rule, States
from services.errors import Rejected, currency_mismatch, exceeded, invalid_state
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import asking, linking, payment_group
from services.payments import payment as payments
from services.payments.asking import ApplyTo, Asked, OneTimeMethod
from services.payments.payment import Payment
from services.payments.payment_group import NewGroup
from services.payments.payment_link import PaymentLink
from services.schedules import outcomes
from services.tenants import exceptions, periods, rates, tenant_settings

EVOLVE = {Payment: payments.evolve, Invoice: invoices.evolve}


Instrument = Literal["CASH", "CHECK", "WIRE", "OTHER"]
"""How money arrives outside any gateway."""


@command("payments.payment.process.v1")
class ProcessPayment:
    """Take money in one step (a sale) with a saved method, or with a token used once."""

    amount: Amount
    payment_id: Id | None = None
    method_id: Id | None = None
    """Without one, and without `method`: the invoice's, its billing profile's, or the account's default."""
    method: OneTimeMethod | None = None
    gateway_id: Id | None = None
    """Of a one-time method; a saved method names its own."""
    apply_to: tuple[ApplyTo, ...] = ()
    billing_profile_id: Id | None = None
    """Without one: that of the invoice that it is first meant for, or the account's default."""
    initiation: Literal["AD_HOC", "PORTAL", "PAY_LINK", "CHECKOUT", "BATCH_RUN"] = "AD_HOC"
    payment_group_id: Id | None = None
    new_payment_group: NewGroup | None = None
    fraud_context: Payer | None = None
    client_context: FreeText | None = None
    """Kept and sent as it is; nothing here reads it."""
    comments: FreeText | None = None
    additional_data: AdditionalData | None = None


@command("payments.payment.record_outcome.v1")
class RecordPaymentOutcome(Report):
    """What became of a sale, a capture or a void: from the gateway, a notification, an inquiry, a person."""


@command("payments.payment.resolve_outcome.v1")
class ResolvePaymentOutcome:
    """A person's word on a payment whose outcome nobody could find out, with evidence."""

    payment_id: Id
    outcome: Literal["PROCESSED", "FAILED"]
    evidence: FreeText
    gateway_ref: Token | None = None


@command("payments.payment.record_external.v1")
class RecordExternalPayment:
    """Money that arrived outside any gateway; its reference is mandatory.

    As a draft it counts for nothing until it is posted.
    """

    amount: Amount
    instrument: Instrument
    reference: Text
    received_on: date
    payment_id: Id | None = None
    apply_to: tuple[ApplyTo, ...] = ()
    payment_group_id: Id | None = None
    draft: bool = False


@command("payments.payment.cancel.v1")
class CancelPayment:
    """Void a payment at its gateway, or take back an external one that was recorded by mistake."""

    payment_id: Id
    reason: FreeText | None = None


# -- asking for money


def _method_id(states: States, command: ProcessPayment, context: Context) -> str | None:
    """The command's, its first invoice's, its billing profile's, the default profile's, the default (2.1)."""
    if command.method_id or command.method:
        return command.method_id
    owner, invoice = states.find(Account, context.account_id), _first_invoice(states, command, context)
    if invoice and invoice.saved_payment_method_id:
        return invoice.saved_payment_method_id
    return account.method_for(owner, _profile_id(states, command, context)) if owner else None


def _first_invoice(states: States, command: ProcessPayment, context: Context) -> Invoice | None:
    invoice = states.find(Invoice, command.apply_to[0].invoice_id) if command.apply_to else None
    return invoice if invoice and invoice.account_id == context.account_id else None


def _profile_id(states: States, command: ProcessPayment, context: Context) -> str | None:
    invoice = _first_invoice(states, command, context)
    return command.billing_profile_id or (invoice.profile_id if invoice else None)


def _gateway_id(states: States, command: ProcessPayment, context: Context) -> str | None:
    method_id = _method_id(states, command, context)
    method = states.find(SavedMethod, method_id) if method_id else None
    if method is None or (method.portable and command.gateway_id):
        return command.gateway_id
    return method.gateway_id


def process_needs(states: States, command: ProcessPayment, context: Context) -> Needs:
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    yield account.needed(context)
    method_id, gateway_id = _method_id(states, command, context), _gateway_id(states, command, context)
    if method_id:
        yield Need(SavedMethod, method_id)
    if command.apply_to and not command.method_id and not command.method:
        yield Need(Invoice, command.apply_to[0].invoice_id)
    yield from asking.needed(states, gateway_id, command.apply_to, context)
    yield from payment_group.needed(command.payment_group_id, command.new_payment_group)


def process(states: States, command: ProcessPayment, context: Context) -> Changes:
    owner = account.chargeable(states, context)
    _check_new(states, command.payment_id)
    if command.initiation == "BATCH_RUN":
        account.check_collectable(owner, context)
    account.check_profile(owner, command.billing_profile_id)
    method = _method(states, command, context)
    if command.amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a payment must be above 0", field="data.amount")
    _check_asked(command.apply_to, command.amount)
    asked = Asked(
        command.payment_id or context.new_id("payment"),
        command.amount,
        method,
        command.apply_to,
        command.initiation,
        new=command.payment_id is None,
        payment_group_id=_group_id(command),
        profile_id=_profile_id(states, command, context),
        is_first=_is_first(states, command, context),
        besides=accompanying(command, owner),
    )
    groups = payment_group.joined(states, command.payment_group_id, command.new_payment_group, context)
    return [*groups, *asking.ask(states, asked, context)]


def _is_first(states: States, command: ProcessPayment, context: Context) -> bool:
    """Whether the network does not yet know the card as one that is kept to be charged again."""
    method_id = _method_id(states, command, context)
    method = states.get(SavedMethod, method_id) if method_id else None
    unknown = method is not None and method.type == "card" and method.network_transaction_id is None
    return unknown and method is not None and method.usage != "ON_SESSION"


def _check_new(states: States, payment_id: str | None) -> None:
    if payment_id and states.get(Payment, payment_id).status:
        raise Rejected("PAYMENT_EXISTS", f"the payment {payment_id} exists already")


def _check_asked(targets: Iterable[ApplyTo], whole: Money) -> None:
    """What can be known before the money arrives: the parts are in its currency, above 0, and no more."""
    parts = [target.amount for target in targets if target.amount is not None]
    for part in parts:
        if part.currency != whole.currency:
            raise currency_mismatch(whole.currency, part.currency, "the payment")
        if part.amount_minor <= 0:
            raise Rejected("AMOUNT_NOT_POSITIVE", "an amount must be above 0", field="data.apply_to")
    asked = Money(sum(part.amount_minor for part in parts), whole.currency)
    if asked.amount_minor > whole.amount_minor:
        raise exceeded("PAYMENT_BALANCE_EXCEEDED", asked, whole, "the payment", "data.apply_to")


def _group_id(command: ProcessPayment) -> str | None:
    return (
        command.new_payment_group.payment_group_id if command.new_payment_group else command.payment_group_id
    )


def _method(states: States, command: ProcessPayment, context: Context) -> Method:
    if command.method:
        if command.method_id or not command.gateway_id:
            raise Rejected("METHOD_NOT_USABLE", "a one-time method needs a gateway_id, and no method_id")
        return Method(gateway_id=command.gateway_id, **vars(command.method))
    method_id = _method_id(states, command, context)
    if method_id is None:
        raise Rejected("NO_PAYMENT_METHOD", "the account has no default payment method")
    method = states.get(SavedMethod, method_id)
    payment_method.check_chargeable(method, method_id, context)
    return payment_method.snapshot(method, payment_method.gateway_for(method, command.gateway_id))


# -- the outcome


def _outcome_needs(states: States, command: RecordPaymentOutcome, context: Context) -> Needs:
    yield from calling.needed(states, command.operation_key, context)
    yield from rates.needed(states, context)
    yield account.needed(context)
    call = states.find(GatewayCall, command.operation_key)
    if call and call.planned:
        yield from _target_needs(states, call.planned.target_id, command.result, context)


def _target_needs(states: States, payment_id: str, outcome: Outcome | None, context: Context) -> Needs:
    yield Need(Payment, payment_id)
    payment = states.find(Payment, payment_id)
    if payment is None:
        return
    yield from outcomes.needed(states, payment, outcome, context)
    if payment.payment_link_id:
        yield Need(PaymentLink, payment.payment_link_id)
    if payment.authorization_id:
        yield Need(Authorization, payment.authorization_id)
    if payment.method and payment.method.method_id:
        yield Need(SavedMethod, payment.method.method_id)
    for intended in payment.intended:
        yield Need(Invoice, intended.invoice_id)
    if payment.intended:
        yield from writing_off.small_needed(states, context)


def record_outcome(states: States, command: RecordPaymentOutcome, context: Context) -> Changes:
    planned, settled = calling.settle(states, command, context)
    payment = states.get(Payment, planned.target_id)
    guards.check_payment(payment, planned.target_id, context)
    if planned.operation == "VOID":
        return [*settled.changes, *_voided(payment, settled, context)]
    received = _received(states, payment, settled, command, context)
    heard = settled.verdict, settled.outcome, received, context
    of_item = outcomes.heard(states, payment, *heard)
    return [*settled.changes, *received, *of_item, *linking.heard(states, payment, *heard)]


def _received(
    states: States, payment: Payment, settled: Settled, report: Report, context: Context
) -> Changes:
    outcome, id = settled.outcome, payment.payment_id
    match settled.verdict:
        case "PROCESSED" | "LATE_SUCCESS":
            return _succeeded(
                states, payment, outcome, report.source, settled.verdict == "LATE_SUCCESS", context
            )
        case "FAILED":
            return _failed(states, payment, outcome, report.source, context)
        case "UNKNOWN":
            assert settled.next_query_at is not None
            reason = outcome.raw_message or outcome.result_code
            fact = PaymentOutcomeUnknown(report.sent_at, reason, settled.next_query_at)
            return [Change(Payment, id, fact)]
        case "PENDING":
            return [Change(Payment, id, PaymentPending(outcome.gateway_ref, report.source))]
        case "REQUIRES_ACTION":
            return [
                Change(Payment, id, PaymentActionRequired(outcome.gateway_ref, report.source, outcome.action))
            ]
        case "REQUIRES_REVIEW":
            held = PaymentHeldForReview(
                outcome.raw_message or outcome.result_code, report.source, outcome.gateway_ref
            )
            if outcome.result_code == "RequiresReview":
                return [Change(Payment, id, held)]
            message = "nobody could find out whether the gateway executed it"
            amount = Money(payment.amount, payment.currency)
            case = exceptions.raised(context, "UNKNOWN_OUTCOME_EXPIRED", "payment", id, message, amount)
            return [Change(Payment, id, held), case]
        case "CONTRADICTED":
            message = f"{report.source} says {outcome.result_code} after success"
            return [exceptions.raised(context, "CONTRADICTED_OUTCOME", "payment", id, message)]
        case _:
            return []


def _succeeded(
    states: States, payment: Payment, outcome: Outcome, source: str, late: bool, context: Context
) -> Changes:
    asked = Money(payment.amount, payment.currency)
    received = outcome.processed_amount or asked
    processed = PaymentProcessed(
        processed_amount=received if received.currency == payment.currency else asked,
        gateway_ref=outcome.gateway_ref,
        gateway_date=outcome.gateway_date,
        source=source,
        auth_code=outcome.auth_code,
        network_transaction_id=outcome.network_transaction_id,
        late=late,
        level_sent=outcome.level_sent,
        corporate=rates.snapshot(states, received, context.now, context),
    )
    changes = list[Change | Claiming | Releasing]([Change(Payment, payment.payment_id, processed)])
    if payment.authorization_id:
        held = states.get(Authorization, payment.authorization_id)
        facts = authorization.captured(held, payment.payment_id, processed.processed_amount)
        changes += [Change(Authorization, payment.authorization_id, fact) for fact in facts]
    changes += _health(states, payment, outcome, True, context)
    if late:
        message = "it had been taken for failed: see whether the customer paid twice"
        changes.append(
            exceptions.raised(context, "LATE_SUCCESS", "payment", payment.payment_id, message, received)
        )
    if received != asked:
        message = f"asked for {asked}, the gateway took {received}; nothing was applied"
        changes.append(
            exceptions.raised(context, "AMOUNT_MISMATCH", "payment", payment.payment_id, message, received)
        )
    elif late and _is_collected(states, payment):
        message = "what it was meant for was paid otherwise meanwhile: refund it"
        changes.append(
            exceptions.raised(context, "DUPLICATE_CHARGE", "payment", payment.payment_id, message, received)
        )
    elif payment.intended:
        changes += apply_intended(states, payment, changes[0].fact, context)  # type: ignore[union-attr]
        return writing_off.with_small_balances(states, changes, context)
    return changes


def _is_collected(states: States, payment: Payment) -> bool:
    """Whether every invoice that the money was meant for was settled without it."""
    meant = [states.get(Invoice, intended.invoice_id) for intended in payment.intended]
    return bool(meant) and all(invoice.settlement_status == "SETTLED" for invoice in meant)


def _failed(states: States, payment: Payment, outcome: Outcome, source: str, context: Context) -> Changes:
    failed = PaymentFailed(
        result_code=outcome.result_code,
        category=outcome.category or "Unknown",
        raw_code=outcome.raw_code,
        raw_message=outcome.raw_message,
        hard=outcome.hard,
        never_retry=outcome.never_retry,
        source=source,
        code_map_version=outcome.code_map_version,
        gateway_ref=outcome.gateway_ref,
    )
    changes = [Change(Payment, payment.payment_id, failed)]
    if payment.authorization_id:
        back = AuthorizationCaptureFailed(payment.payment_id, Money(payment.amount, payment.currency))
        changes.append(Change(Authorization, payment.authorization_id, back))
    changes += _health(states, payment, outcome, False, context)
    changes += exceptions.unmapped(context, "payment", payment.payment_id, outcome)
    return changes


def _health(
    states: States, payment: Payment, outcome: Outcome, succeeded: bool, context: Context
) -> Sequence[Change]:
    if payment.method is None or payment.method.method_id is None:
        return []
    method = states.get(SavedMethod, payment.method.method_id)
    owner = states.get(Account, context.account_id)
    return payment_method.after_outcome(method, owner, outcome, succeeded, context)


def apply_intended(states: States, payment: Payment, arrived: object, context: Context) -> Changes:
    """Apply arrived money where it was meant to go, as far as that still takes it."""
    draft = Draft(states, EVOLVE)
    draft.record(Payment, payment.payment_id, arrived)
    settings = tenant_settings.of(states, context)
    for intended in payment.intended:
        apply_one(draft, payment.payment_id, intended, settings["application_level"], context)
    return draft.changes[1:]


def apply_one(
    draft: Draft, payment_id: str, intended: Intended, level: str, context: Context, cause: str = "PAYMENT"
) -> None:
    """Apply what is free to one invoice as far as it takes it; what was promised and falls short is said."""
    payment, invoice = draft.get(Payment, payment_id), draft.get(Invoice, intended.invoice_id)
    wanted = intended.amount.amount_minor if intended.amount else payment.unapplied
    level = "INVOICE_LINE" if intended.line_id else level
    code = _refusal(payment, invoice, intended, level)
    room = _room(invoice, intended.line_id) if code is None else 0
    amount = min(wanted, payment.unapplied, room)
    why, line_id = Why(context.now, cause), intended.line_id
    part = f"{line_id or ''}/"
    application.apply(
        draft, Payment, payment_id, intended.invoice_id, amount, level, why, context, part, line_id
    )
    if intended.amount and amount < wanted:
        short = PaymentApplicationFailed(
            intended.invoice_id,
            code or "INVOICE_BALANCE_EXCEEDED",
            intended.amount,
            Money(max(amount, 0), payment.currency),
        )
        draft.record(Payment, payment_id, short)
        message = f"{short.applied} of {short.intended} could be applied: {short.code}"
        case = exceptions.raised(
            context, "APPLY_FAILED", "payment", payment_id, message, short.intended - short.applied
        )
        draft.changes.append(case)


def _refusal(payment: Payment, invoice: Invoice, intended: Intended, level: str) -> str | None:
    """Why an invoice takes nothing at all now."""
    if invoice.status != "POSTED" or invoice.account_id != payment.account_id:
        return "TARGET_NOT_POSTED"
    if invoice.locked_by is not None:
        return "INVOICE_LOCKED"
    if invoice.currency != payment.currency:
        return "CURRENCY_MISMATCH"
    if invoice.level not in (None, level):
        return "SETTLEMENT_LEVEL_MISMATCH"
    if intended.line_id is not None and intended.line_id not in invoice.lines:
        return "INVOICE_LINE_NOT_FOUND"
    return None


def _room(invoice: Invoice, line_id: str | None) -> int:
    return min(invoice.balance, invoice.lines[line_id].balance) if line_id else invoice.balance


def _resolve_needs(states: States, command: ResolvePaymentOutcome, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    yield account.needed(context)
    yield from _target_needs(states, command.payment_id, None, context)
    payment = states.find(Payment, command.payment_id)
    if payment and payment.operation_key:
        yield from calling.needed(states, payment.operation_key, context)
        yield from rates.needed(states, context)


def resolve_outcome(states: States, command: ResolvePaymentOutcome, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if not payment.in_flight or payment.status == "REQUESTED":
        raise invalid_state("payment", payment.status, payments.IN_FLIGHT - {"REQUESTED"})
    calling.check_evidence(command.evidence)
    key, said = payment.operation_key, (command.outcome, command.evidence)
    if (waiting := awaits_second(states, command, key, *said, context)) is not None:
        return waiting
    known = Outcome("Success", gateway_ref=command.gateway_ref, raw_message=command.evidence)
    if command.outcome == "FAILED":
        known = replace(known, result_code="Decline", category="PaymentProcessing")
    report = RecordPaymentOutcome(key, "OPERATOR", known, evidence=command.evidence)
    return record_outcome(states, report, context)


# -- money from outside, and taking a payment back


def _external_needs(states: States, command: RecordExternalPayment, context: Context) -> Needs:
    if command.payment_id:
        yield Need(Payment, command.payment_id)
    yield account.needed(context)
    yield tenant_settings.needed(context)
    yield from rates.needed(states, context)
    for target in command.apply_to:
        yield Need(Invoice, target.invoice_id)
    yield from periods.needed(None, command.received_on, context)
    yield from writing_off.small_needed(states, context)
    yield from payment_group.needed(command.payment_group_id, None)


def record_external(states: States, command: RecordExternalPayment, context: Context) -> Changes:
    account.of(states, context)
    _check_new(states, command.payment_id)
    check_recorded(command.amount, command.reference)
    periods.check_open(states, None, command.received_on, context)
    if command.draft and command.apply_to:
        raise Rejected(
            "MALFORMED_REQUEST",
            "a draft settles nothing: name invoices as you post it",
            field="data.apply_to",
        )
    check_targets(states, command.apply_to, command.amount, context)
    groups = payment_group.joined(states, command.payment_group_id, None, context)
    payment_id = command.payment_id or context.new_id("payment")
    head = (
        payment_id,
        context.number("PAY"),
        context.account_id,
        command.amount,
        command.instrument,
        command.reference,
        command.received_on,
        context.now,
        command.payment_group_id,
    )
    if command.draft:
        recorded = ExternalPaymentDrafted(*head)
    else:
        worth = rates.snapshot(states, command.amount, command.received_on, context)
        recorded = ExternalPaymentRecorded(*head, worth)
    draft = Draft(states, EVOLVE)
    draft.extend(groups)
    draft.record(Payment, payment_id, recorded, new=command.payment_id is None)
    level = tenant_settings.of(states, context)["application_level"]
    apply_now(draft, payment_id, command.apply_to, level, context)
    return writing_off.with_small_balances(states, draft.changes, context)


def check_recorded(amount: Money, reference: str) -> None:
    if amount.amount_minor <= 0:
        raise Rejected("AMOUNT_NOT_POSITIVE", "a payment must be above 0", field="data.amount")
    if not reference.strip():
        raise Rejected(
            "MALFORMED_REQUEST", "a payment from outside needs a reference", field="data.reference"
        )


def check_targets(states: States, targets: Sequence[ApplyTo], amount: Money, context: Context) -> None:
    for target in targets:
        _check_target(states.get(Invoice, target.invoice_id), target, amount.currency, context)
    _check_asked(targets, amount)


def apply_now(
    draft: Draft, payment_id: str, targets: Sequence[ApplyTo], level: str, context: Context
) -> None:
    """A person names the targets here and now: what does not fit is refused, not kept for later."""
    for target, intended in zip(targets, asking.intended(targets), strict=True):
        invoice = draft.get(Invoice, target.invoice_id)
        if target.amount is not None:
            guards.check_room(invoice, target.amount, target.line_id)
        guards.check_level(invoice, "INVOICE_LINE" if target.line_id else level)
        apply_one(draft, payment_id, intended, level, context)


def _check_target(invoice: Invoice, target: ApplyTo, currency: str, context: Context) -> None:
    guards.check_invoice(invoice, target.invoice_id, context)
    guards.check_posted(invoice)
    guards.check_unlocked(invoice)
    if invoice.currency != currency:
        raise currency_mismatch(invoice.currency, currency, f"invoice {invoice.number}")
    if target.line_id is not None and target.line_id not in invoice.lines:
        raise Rejected("INVOICE_LINE_NOT_FOUND", f"there is no line {target.line_id}")


def _cancel_needs(states: States, command: CancelPayment, context: Context) -> Needs:
    yield Need(Payment, command.payment_id)
    payment = states.find(Payment, command.payment_id)
    if payment and payment.gateway_id:
        yield Need(Gateway, payment.gateway_id)


def cancel(states: States, command: CancelPayment, context: Context) -> Changes:
    payment = states.get(Payment, command.payment_id)
    guards.check_payment(payment, command.payment_id, context)
    if payment.status != "PROCESSED":
        raise invalid_state("payment", payment.status, ["PROCESSED"])
    if payment.type == "TRANSFER":
        raise Rejected("PAYMENT_NOT_VOIDABLE", "it is another account's money: transfer it back")
    if payment.cancellation_key is not None:
        raise Rejected("OPERATION_IN_FLIGHT", "the payment is being canceled")
    if payment.disputes:
        raise Rejected("PAYMENT_DISPUTED", "the payment is disputed: wait for its end")
    if payment.unapplied != payment.received:
        raise Rejected("PAYMENT_HAS_SETTLEMENTS", "unapply it first; what was refunded cannot be canceled")
    amount = Money(payment.amount, payment.currency)
    if payment.gateway_id is None:
        return [Change(Payment, command.payment_id, PaymentCanceled(amount, command.reason))]
    gateway = states.get(Gateway, payment.gateway_id)
    if "VOID" not in gateway.capabilities.operations:
        raise Rejected("PAYMENT_NOT_VOIDABLE", "its gateway knows no void: refund it")
    if payment.gateway_ref is None:
        raise Rejected("PAYMENT_NOT_VOIDABLE", "the gateway's reference of the payment is not known")
    return _void(payment, amount, command.reason, context)


def _void(payment: Payment, amount: Money, reason: str | None, context: Context) -> Changes:
    attempt = payment.cancellation_attempts + 1
    key, planned = calling.plan(
        context,
        origin=payment.payment_id,
        operation="VOID",
        attempt_no=attempt,
        target_kind="payment",
        target_id=payment.payment_id,
        gateway_id=payment.gateway_id,
        amount=amount,
        merchant_reference=payment.number,
        method=payment.method,
        payment_ref=payment.gateway_ref,
    )
    return [Change(Payment, payment.payment_id, PaymentCancellationRequested(attempt, key, reason)), planned]


def _voided(payment: Payment, settled: Settled, context: Context) -> Changes:
    """Nothing could touch the money while the void was in flight, so all of it is gone now."""
    outcome, id = settled.outcome, payment.payment_id
    amount = Money(payment.amount, payment.currency)
    match settled.verdict:
        case "PROCESSED":
            return [Change(Payment, id, PaymentCanceled(amount, outcome.raw_message))]
        case "FAILED":
            failed = PaymentCancellationFailed(outcome.result_code, outcome.raw_code, outcome.raw_message)
            return [Change(Payment, id, failed)]
        case "LATE_SUCCESS":
            message = "its void had been taken for failed, and was carried out after all"
            return [exceptions.raised(context, "LATE_SUCCESS", "payment", id, message, amount)]
        case _:
            return []


RULES = (
    Rule(ProcessPayment, process_needs, process),
    Rule(RecordPaymentOutcome, _outcome_needs, record_outcome),
    Rule(ResolvePaymentOutcome, _resolve_needs, resolve_outcome),
    Rule(RecordExternalPayment, _external_needs, record_external),
    Rule(CancelPayment, _cancel_needs, cancel),
)
