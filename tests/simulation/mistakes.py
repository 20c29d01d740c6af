"""What users get wrong: one way for each code that refuses it.

Some are mistakes whatever the log says; others became one on the way, or turn out to be none.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from events.invoice import Product
from events.money import Money
from events.shapes import Outcome
from services.access.api_key import CreateApiKey, RevokeApiKey
from services.accounts.account import CloseAccount, PlacePaymentHold, RegisterAccount
from services.accounts.billing_profile import UpdateBillingProfile
from services.accounts.method_choice import DeletePaymentMethod, SetDefaultPaymentMethod
from services.accounts.payment_method import SavePaymentMethod
from services.applications.applying import (
    ApplyCreditMemo,
    ApplyPayment,
    Target,
    UnapplyCreditMemo,
    UnapplyPayment,
)
from services.authorizations.authorizing import AuthorizePayment
from services.authorizations.capturing import CapturePayment
from services.authorizations.reversing import ReverseAuthorization
from services.calls.gateway import RegisterGateway
from services.credits.crediting import CreateCreditMemo, NewLine, PostCreditMemo, VoidCreditMemo
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.credits.debiting import CreateDebitMemo, VoidDebitMemo
from services.disputes.disputing import SubmitDisputeEvidence
from services.invoices.converting import ConvertNegativeInvoice
from services.invoices.posting import Line, PostInvoice
from services.invoices.standing import LockInvoice
from services.invoices.voiding import VoidInvoice
from services.orchestrations.canceling import CancelRefundOrchestration
from services.orchestrations.orchestrating import AutomateRefund
from services.payments.arriving import RecordPaymentOutcome
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, ProcessPayment
from services.payments.payment_group import NewGroup
from services.payments.returning import WriteOffOverdraft
from services.payments.taking_back import CancelPayment
from services.refunds.approving import ApproveRefund
from services.refunds.refund_outcomes import ResolveRefundOutcome
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund, RecordExternalRefund
from services.tenants.exceptions import ResolveException
from services.tenants.tenant_settings import ChangeTenantSettings
from services.transfers.transferring import RecallTransfer
from tests.simulation.bank import MAIN, STRICT
from tests.simulation.virtual_loop import START
from tests.simulation.workload import DAY, Said, Say, Users, home_of, money, of, says, unpaid

POUND = Money(100, "GBP")
PENNY = {"amount_minor": 1, "currency": "GBP"}
MISTAKES: dict[str, Say] = {}
"""What provokes a code, by the code."""


def provokes(*codes: str) -> Callable[[Say], Say]:
    def bind(way: Say) -> Say:
        for code in codes:
            MISTAKES[code] = way
        return way

    return bind


@says(34)
def mistake(users: Users, account: str) -> Any:
    return users.chosen.choice(list(MISTAKES.values()))(users, account)


def envelope(users: Users, command: object, account: str, **more: Any) -> Said:
    return Said(command, account, f"{type(command).__name__} {users.number}", more)


# -- what a record itself gets wrong


def _sale(users: Users, account: str, **more: Any) -> ProcessPayment:
    return ProcessPayment(**{"amount": POUND, "method_id": users.method(account), **more})


@provokes("CURRENCY_UNKNOWN")
def unknown_currency(users: Users, account: str) -> Said:
    return envelope(users, _sale(users, account), account, data={"amount": {**PENNY, "currency": "XXQ"}})


@provokes("MINOR_UNITS_INVALID")
def half_a_penny(users: Users, account: str) -> Said:
    return envelope(users, _sale(users, account), account, data={"amount": {**PENNY, "amount_minor": 1.5}})


@provokes("UNKNOWN_FIELD")
def unknown_field(users: Users, account: str) -> Said:
    return envelope(users, _sale(users, account), account, data={"colour": "green"})


@provokes("MALFORMED_REQUEST")
def malformed(users: Users, account: str) -> Said:
    return envelope(users, _sale(users, account), account, data={"apply_to": "everything"})


@provokes("DATE_INVALID")
def no_such_day(users: Users, account: str) -> Said:
    cash = RecordExternalPayment(POUND, "CASH", "till", DAY)
    return envelope(users, cash, account, data={"received_on": "2026-02-31"})


@provokes("CARD_DATA_FORBIDDEN")
def card_number(users: Users, account: str) -> SavePaymentMethod:
    return SavePaymentMethod(MAIN, "4111 1111 1111 1111", "card")


@provokes("FORBIDDEN")
def not_for_him(users: Users, account: str) -> Said:
    """Somebody who may look, or who collects, wants to take money, or to give it away."""
    command = users.chosen.choice(
        (_sale(users, account), RecordExternalPayment(POUND, "CASH", "till", DAY), CloseAccount("no more"))
    )
    roles = users.chosen.choice((["READ_ONLY"], ["COLLECTIONS"], [], ["CREDIT_MEMO_OPERATIONS"]))
    return envelope(users, command, account, actor={"type": "USER", "id": "reader", "roles": roles})


@provokes("ACCOUNT_NOT_VISIBLE")
def not_his_account(users: Users, account: str) -> Said:
    customer = {"type": "USER", "id": "customer", "roles": ["PORTAL"], "accounts": ["elsewhere"]}
    return envelope(users, _sale(users, account), account, actor=customer)


@provokes("API_KEY_NOT_FOUND")
def no_such_key(users: Users, account: str) -> Said:
    return _about_keys(users, RevokeApiKey("abcdefghabcdefgh"))


@provokes("API_KEY_EXISTS")
def a_key_again(users: Users, account: str) -> Said | None:
    known = users.pick("apikey", lambda key: True)
    if known is None:
        return None
    again = CreateApiKey(known.created.key_id, "again", "somebody", ("READ_ONLY",), "a", "b")
    return _about_keys(users, again)


def _about_keys(users: Users, command: Any) -> Said:
    return Said(command, home_of(command), f"{type(command).__name__} {users.number}")


@provokes("DEADLINE_EXCEEDED")
def too_late(users: Users, account: str) -> Said:
    return envelope(users, _sale(users, account), account, deadline=START - timedelta(days=1))


@provokes("VERSION_CONFLICT")
def on_an_old_version(users: Users, account: str) -> Said:
    return envelope(users, PlacePaymentHold("he asked"), account, expected_version=0)


@provokes("PARTITION_KEY_MISMATCH")
def to_the_wrong_home(users: Users, account: str) -> Said:
    return Said(ChangeTenantSettings({"production": False}), account, f"wrong home {users.number}")


@provokes("tried first")
def dry_run(users: Users, account: str) -> Said:
    return envelope(users, _sale(users, account), account, dry_run=True)


@provokes("IDEMPOTENCY_KEY_REUSED")
def misused_key(users: Users, account: str) -> Said | None:
    if not users.said:
        return None
    said = users.chosen.choice(users.said[-40:])
    return said._replace(envelope={**said.envelope, "data": {"something": "else"}})


@provokes("repeated")
def repeat(users: Users, account: str) -> Said | None:
    return users.chosen.choice(users.said[-40:]) if users.said else None


# -- what is not there, or is there already


@provokes("ACCOUNT_EXISTS")
def known_account(users: Users, account: str) -> RegisterAccount:
    return RegisterAccount("once more")


@provokes("ACCOUNT_NOT_FOUND")
def unknown_account(users: Users, account: str) -> Said:
    return Said(CloseAccount(), "A8", f"unknown {users.number}")


@provokes("PAYMENT_NOT_FOUND")
def unknown_payment(users: Users, account: str) -> CancelPayment:
    return CancelPayment("no-such")


@provokes("INVOICE_NOT_FOUND")
def unknown_invoice(users: Users, account: str) -> ConvertNegativeInvoice:
    return ConvertNegativeInvoice("no-such")


@provokes("TRANSFER_NOT_FOUND")
def unknown_transfer(users: Users, account: str) -> Said | None:
    return of(users, users.pick("payment"), lambda p: RecallTransfer(p.payment_id, "no-such"))


@provokes("CREDIT_MEMO_NOT_FOUND")
def unknown_memo(users: Users, account: str) -> PostCreditMemo:
    return PostCreditMemo("no-such")


@provokes("REFUND_NOT_FOUND")
def unknown_refund(users: Users, account: str) -> ResolveRefundOutcome:
    return ResolveRefundOutcome("no-such", "FAILED", "x")


@provokes("AUTHORIZATION_NOT_FOUND")
def unknown_authorization(users: Users, account: str) -> ReverseAuthorization:
    return ReverseAuthorization("no-such", POUND)


@provokes("ORCHESTRATION_NOT_FOUND")
def unknown_orchestration(users: Users, account: str) -> CancelRefundOrchestration:
    return CancelRefundOrchestration("no-such")


@provokes("EXCEPTION_NOT_FOUND")
def unknown_case(users: Users, account: str) -> ResolveException:
    return ResolveException("no-such", "X", "x")


@provokes("OPERATION_NOT_FOUND")
def unknown_operation(users: Users, account: str) -> RecordPaymentOutcome:
    return RecordPaymentOutcome("no-such", "NOTIFICATION", Outcome("Success"))


@provokes("GATEWAY_NOT_FOUND")
def unknown_gateway(users: Users, account: str) -> SavePaymentMethod:
    return SavePaymentMethod("no-such", "tok_ok", "card")


@provokes("METHOD_NOT_FOUND")
def unknown_method(users: Users, account: str) -> DeletePaymentMethod:
    return DeletePaymentMethod("no-such")


@provokes("NOT_FOUND")
def unknown_profile(users: Users, account: str) -> UpdateBillingProfile:
    return UpdateBillingProfile("no-such", "x", 1)


@provokes("PAYMENT_GROUP_NOT_FOUND")
def unknown_group(users: Users, account: str) -> ProcessPayment:
    return _sale(users, account, payment_group_id="no-such")


@provokes("PAYMENT_GROUP_AMBIGUOUS")
def two_groups(users: Users, account: str) -> ProcessPayment:
    return _sale(users, account, payment_group_id="one", new_payment_group=NewGroup("another"))


@provokes("APPLICATION_NOT_FOUND")
def unknown_application(users: Users, account: str) -> Said | None:
    return of(users, users.pick("payment"), lambda p: UnapplyPayment(p.payment_id, "no-such"))


@provokes("INVOICE_LINE_NOT_FOUND")
def unknown_line(users: Users, account: str) -> Said | None:
    lines = (CreditedLine("no-such", POUND),)
    return of(users, users.pick("invoice"), lambda i: CreditInvoice(i.invoice_id, lines, "X"))


@provokes("INVOICE_DUPLICATE")
def posted_before(users: Users, account: str) -> Said | None:
    invoice = users.pick("invoice")
    if invoice is None:
        return None
    lines = tuple(Line(line.line.line_id, line.line.charge) for line in invoice.lines.values())
    return of(users, invoice, lambda i: PostInvoice(i.external_id, i.currency, lines))


@provokes("DEBIT_MEMO_NOT_FOUND")
def unknown_debit_memo(users: Users, account: str) -> VoidDebitMemo:
    return VoidDebitMemo("no-such")


@provokes("DEBIT_MEMO_EXISTS")
def debit_memo_id_taken(users: Users, account: str) -> Said | None:
    line = (NewLine("1", POUND, Product(name="x")),)
    memo = users.pick("dm")
    return of(users, memo, lambda m: CreateDebitMemo("GBP", line, "X", m.debit_memo_id))


@provokes("FORBIDDEN")
def hold_without_being_a_process(users: Users, account: str) -> Said | None:
    return of(users, users.pick("invoice"), lambda i: LockInvoice(i.invoice_id))


@provokes("TARGET_NOT_POSTED")
def pay_what_is_not_owed(users: Users, account: str) -> Said | None:
    invoice = users.pick("invoice", lambda i: i.status != "POSTED")
    if invoice is None:
        return None
    target = ApplyTo(invoice.invoice_id)
    amount = money(1, invoice.currency)
    return of(
        users, invoice, lambda i: RecordExternalPayment(amount, "CASH", "till", DAY, apply_to=(target,))
    )


@provokes("INVOICE_NOT_LATEST")
def void_one_of_a_subscription(users: Users, account: str) -> Said | None:
    def is_older(invoice: Any) -> bool:
        fresh = invoice.status == "POSTED" and not invoice.applications and invoice.total > 0
        return fresh and invoice.reference_type == "SUBSCRIPTION"

    ones = [i for i in users.seen.of["invoice"].values() if is_older(i)]
    chosen = users.chosen.choice((ones[0], ones[-1])) if len(ones) > 1 else None
    return of(users, chosen, lambda i: VoidInvoice(i.invoice_id))


@provokes("ACCOUNTING_PERIOD_CLOSED")
def into_the_books_of_last_year(users: Users, account: str) -> Said:
    lines = (Line("0", POUND),)
    return Said(
        PostInvoice(f"old-{users.number}", "GBP", lines, posted_at=START - timedelta(days=10)),
        account,
        f"old {users.number}",
    )


@provokes("PAYMENT_EXISTS")
def payment_id_taken(users: Users, account: str) -> Said | None:
    payment = users.pick("payment")
    return of(users, payment, lambda p: _sale(users, p.account_id, payment_id=p.payment_id))


@provokes("REFUND_EXISTS")
def refund_id_taken(users: Users, account: str) -> Said | None:
    refund, payment = users.pick("refund"), users.pick("payment", lambda p: p.refundable > 0)
    if refund is None or payment is None:
        return None
    amount = money(1, payment.currency)
    return of(
        users,
        payment,
        lambda p: IssueRefund(p.payment_id, amount, "x", refund_id=refund.refund_id),
    )


@provokes("CREDIT_MEMO_EXISTS")
def memo_id_taken(users: Users, account: str) -> Said | None:
    line = (NewLine("1", POUND, Product(name="x")),)
    memo = users.pick("cm")
    return of(users, memo, lambda m: CreateCreditMemo("GBP", line, "X", m.credit_memo_id))


@provokes("AUTHORIZATION_EXISTS")
def authorization_id_taken(users: Users, account: str) -> Said | None:
    return of(
        users,
        users.pick("auth"),
        lambda a: AuthorizePayment(
            POUND, MAIN, START, users.method(a.account_id), authorization_id=a.authorization_id
        ),
    )


@provokes("GATEWAY_EXISTS", "GATEWAY_MODE_FORBIDDEN")
def gateway_name_taken(users: Users, account: str) -> Said:
    register = RegisterGateway(f"gw-{users.number}", MAIN, MAIN, "env:NONE", "m", "TEST")
    return Said(register, home_of(register), f"gateway {users.number}")


# -- what belongs to somebody else, or is of another kind


@provokes("ACCOUNT_MISMATCH")
def somebody_elses(users: Users, account: str) -> CancelPayment | None:
    payment = users.pick("payment", lambda p: p.account_id != account)
    return CancelPayment(payment.payment_id) if payment else None


@provokes("METHOD_NOT_OWNED_BY_ACCOUNT")
def somebody_elses_card(users: Users, account: str) -> ProcessPayment | None:
    method = users.pick("spm", lambda m: m.account_id != account and m.status != "DELETED")
    return _sale(users, account, method_id=method.method_id) if method else None


@provokes("METHOD_NOT_USABLE")
def default_of_somebody_else(users: Users, account: str) -> SetDefaultPaymentMethod | None:
    method = users.pick("spm", lambda m: m.account_id != account and m.status != "DELETED")
    return SetDefaultPaymentMethod(method.method_id) if method else None


@provokes("CURRENCY_MISMATCH")
def in_another_currency(users: Users, account: str) -> Said | None:
    invoice = users.pick("invoice", lambda i: i.balance > 0)
    if invoice is None:
        return None
    target = ApplyTo(invoice.invoice_id)
    amount = money(100, "EUR")
    return of(users, invoice, lambda i: RecordExternalPayment(amount, "WIRE", "x", DAY, apply_to=(target,)))


@provokes("METHOD_NOT_ACTIVE")
def revoked_card(users: Users, account: str) -> Said | None:
    method = users.pick("spm", lambda m: m.status == "REVOKED")
    return of(users, method, lambda m: _sale(users, m.account_id, method_id=m.method_id))


@provokes("METHOD_EXPIRED")
def expired_card(users: Users, account: str) -> object:
    method = users.pick("spm", lambda m: m.status == "EXPIRED")
    if method is None:
        return SavePaymentMethod(MAIN, "tok_ok", "card", f"old-{account}", expiry_month=1, expiry_year=2024)
    return of(users, method, lambda m: _sale(users, m.account_id, method_id=m.method_id))


@provokes("METHOD_TYPE_UNSUPPORTED")
def unsupported_type(users: Users, account: str) -> SavePaymentMethod:
    return SavePaymentMethod(STRICT, "tok_ok", "ideal")


@provokes("METHOD_GATEWAY_MISMATCH")
def at_the_wrong_gateway(users: Users, account: str) -> ProcessPayment:
    return _sale(users, account, gateway_id=STRICT)


@provokes("METHOD_IN_USE")
def card_in_use(users: Users, account: str) -> Said | None:
    going = users.pick("payment", lambda p: p.in_flight and p.method and p.method.method_id)
    return of(users, going, lambda p: DeletePaymentMethod(p.method.method_id))


@provokes("NO_PAYMENT_METHOD")
def without_a_method(users: Users, account: str) -> ProcessPayment:
    return ProcessPayment(POUND)


@provokes("NO_REFUND_METHOD")
def payout_without_a_method(users: Users, account: str) -> Said | None:
    memo = users.pick(
        "cm",
        lambda m: m.balance > 0 and not users.seen.of["account"][m.account_id].default_method_id,
    )
    return of(
        users,
        memo,
        lambda m: IssueUnreferencedRefund(m.credit_memo_id, money(1, m.currency), "x"),
    )


@provokes("DISPUTE_NOT_FOUND")
def unknown_dispute(users: Users, account: str) -> SubmitDisputeEvidence:
    return SubmitDisputeEvidence("no-such", "x")


@provokes("PAYMENT_DISPUTED")
def refund_what_is_disputed(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.disputes and p.gateway_id == MAIN)
    return of(users, payment, lambda p: IssueRefund(p.payment_id, money(1, p.currency), "x"))


@provokes("NOTHING_TO_CHANGE")
def write_off_nothing(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: not p.overdrawn)
    return of(users, payment, lambda p: WriteOffOverdraft(p.payment_id, "x"))


@provokes("PAYMENT_NOT_GATEWAY_LINKED")
def refund_of_cash(users: Users, account: str) -> Said | None:
    cash = users.pick("payment", lambda p: p.gateway_id is None)
    return of(users, cash, lambda p: IssueRefund(p.payment_id, money(1, p.currency), "x"))


# -- the strict gateway


def _strict(users: Users, amount: Money) -> Said | None:
    method = users.pick("spm", lambda m: m.gateway_id == STRICT and m.status == "ACTIVE")
    return of(users, method, lambda m: ProcessPayment(amount, method_id=m.method_id))


@provokes("GATEWAY_AMOUNT_GRANULARITY")
def between_its_steps(users: Users, account: str) -> Said | None:
    return _strict(users, money(103, "GBP"))


@provokes("GATEWAY_CURRENCY_UNSUPPORTED")
def not_in_its_currency(users: Users, account: str) -> Said | None:
    return _strict(users, money(100, "JPY"))


@provokes("GATEWAY_INACTIVE")
def while_it_is_off(users: Users, account: str) -> Said | None:
    off = users.seen.of["gw"][STRICT].status not in ("ACTIVE", "RESTRICTED_SOON")
    return _strict(users, money(100, "GBP")) if off else None


@provokes("GATEWAY_CIRCUIT_OPEN")
def while_it_does_not_answer(users: Users, account: str) -> Any:
    dark = next((id for id, gateway in users.seen.of["gw"].items() if gateway.circuit_open_until), None)
    return _sale(users, account) if dark == MAIN else _strict(users, money(100, "GBP")) if dark else None


@provokes("SELF_APPROVAL_FORBIDDEN")
def approve_ones_own(users: Users, account: str) -> Said | None:
    return of(users, users.pick("refund", lambda r: r.awaits_approval), lambda r: ApproveRefund(r.refund_id))


@provokes("GATEWAY_CAPABILITY_MISSING")
def what_it_cannot(users: Users, account: str) -> Said | None:
    method = users.pick("spm", lambda m: m.gateway_id == STRICT and m.status == "ACTIVE")
    if method is None:
        return None
    memo = users.pick("cm", lambda m: (m.account_id, m.currency) == (method.account_id, "GBP") and m.balance)
    amount, id = money(5, "GBP"), method.method_id
    return of(users, memo, lambda m: IssueUnreferencedRefund(m.credit_memo_id, amount, "x", id))


@provokes("PAYMENT_NOT_VOIDABLE", "REFUND_WINDOW_EXPIRED")
def what_it_does_not_take_back(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.gateway_id == STRICT and p.unapplied > 0)
    return of(
        users,
        payment,
        lambda p: (
            CancelPayment(p.payment_id)
            if users.chosen.random() < 0.5
            else IssueRefund(p.payment_id, money(5, "GBP"), "x")
        ),
    )


# -- more than there is, and the wrong moment


@provokes("AMOUNT_NOT_POSITIVE")
def nothing(users: Users, account: str) -> ProcessPayment:
    return _sale(users, account, amount=money(0, "GBP"))


def _much(currency: str) -> Money:
    return money(99_999_999, currency)


@provokes("PAYMENT_BALANCE_EXCEEDED", "INVOICE_BALANCE_EXCEEDED")
def apply_too_much(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.unapplied > 0)
    invoice = payment and users.pick("invoice", unpaid(payment.account_id, payment.currency))
    if not invoice:
        return None
    amount = max(payment.unapplied, invoice.balance)
    return of(
        users,
        payment,
        lambda p: ApplyPayment(p.payment_id, invoice.invoice_id, money(amount, p.currency)),
    )


@provokes("LINE_BALANCE_EXCEEDED")
def credit_too_much(users: Users, account: str) -> Said | None:
    def credited(invoice: Any) -> CreditInvoice:
        line = next(iter(invoice.lines))
        return CreditInvoice(invoice.invoice_id, (CreditedLine(line, _much(invoice.currency)),), "X")

    return of(users, users.pick("invoice", lambda i: i.balance > 0), credited)


@provokes("CREDIT_BALANCE_EXCEEDED")
def pay_out_too_much(users: Users, account: str) -> Said | None:
    memo = users.pick("cm", lambda m: m.status == "POSTED" and not m.locked_by)
    return of(users, memo, lambda m: IssueUnreferencedRefund(m.credit_memo_id, _much(m.currency), "x"))


@provokes("REFUND_EXCEEDS_REFUNDABLE")
def refund_too_much(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.status == "PROCESSED" and p.gateway_id == MAIN)
    return of(users, payment, lambda p: IssueRefund(p.payment_id, _much(p.currency), "x"))


@provokes("REFUND_EXCEEDS_UNAPPLIED")
def refund_what_is_applied(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.gateway_id == MAIN and p.refundable > p.unapplied)
    return of(users, payment, lambda p: IssueRefund(p.payment_id, money(p.refundable, p.currency), "x"))


@provokes("CAPTURE_EXCEEDS_AUTHORIZATION", "REVERSAL_EXCEEDS_AUTHORIZATION")
def more_than_is_held(users: Users, account: str) -> Said | None:
    say = users.chosen.choice((CapturePayment, ReverseAuthorization))
    held = users.pick("auth", lambda a: a.status == "PROCESSED")
    return of(users, held, lambda a: say(a.authorization_id, _much(a.currency)))


@provokes("AUTHORIZATION_EXPIRED")
def capture_too_late(users: Users, account: str) -> Said | None:
    held = users.pick("auth", lambda a: a.status == "EXPIRED")
    return of(users, held, lambda a: CapturePayment(a.authorization_id, money(1, a.currency)))


@provokes("PAYMENT_NOT_PROCESSED")
def refund_what_never_came(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.status not in ("PROCESSED", "CANCELED"))
    return of(users, payment, lambda p: IssueRefund(p.payment_id, money(1, p.currency), "x"))


@provokes("PAYMENT_HAS_SETTLEMENTS")
def cancel_what_is_applied(users: Users, account: str) -> Said | None:
    return of(users, users.pick("payment", lambda p: p.applied), lambda p: CancelPayment(p.payment_id))


@provokes("OPERATION_IN_FLIGHT")
def twice_at_once(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.cancellation_key) or users.pick(
        "payment", lambda p: p.gateway_id == MAIN and p.unapplied == p.received > 0
    )
    return of(users, payment, lambda p: CancelPayment(p.payment_id))


@provokes("ALREADY_UNAPPLIED")
def unapply_again(users: Users, account: str) -> Said | None:
    kind, say = users.chosen.choice((("payment", UnapplyPayment), ("cm", UnapplyCreditMemo)))
    source = users.pick(kind, lambda s: s.unapplied_ids)
    if source is None:
        return None
    id = users.chosen.choice(sorted(source.unapplied_ids))
    return of(users, source, lambda s: say(getattr(s, "payment_id", "") or s.credit_memo_id, id))


@provokes("PARTIAL_UNAPPLY_UNSUPPORTED")
def unapply_a_part(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: any(a.amount > 1 for a in p.applications.values()))
    if payment is None:
        return None
    id = next(id for id, a in payment.applications.items() if a.amount > 1)
    return of(users, payment, lambda p: UnapplyPayment(p.payment_id, id, money(1, p.currency)))


@provokes("INVALID_STATE")
def post_again(users: Users, account: str) -> Said | None:
    memo = users.pick("cm", lambda m: m.status != "DRAFT")
    return of(users, memo, lambda m: PostCreditMemo(m.credit_memo_id))


@provokes("CREDIT_MEMO_HAS_SETTLEMENTS")
def void_what_is_used(users: Users, account: str) -> Said | None:
    memo = users.pick("cm", lambda m: m.applied and not m.locked_by and m.status == "POSTED")
    return of(users, memo, lambda m: VoidCreditMemo(m.credit_memo_id))


@provokes("CREDIT_MEMO_LOCKED", "ORCHESTRATION_EXISTS")
def use_what_is_held(users: Users, account: str) -> Said | None:
    memo = users.pick("cm", lambda m: m.locked_by)
    say = users.chosen.choice((VoidCreditMemo, AutomateRefund))
    return of(users, memo, lambda m: say(m.credit_memo_id))


@provokes("INVOICE_LOCKED")
def use_a_locked_invoice(users: Users, account: str) -> Said | None:
    invoice = users.pick("invoice", lambda i: i.locked_by)
    return of(users, invoice, lambda i: ConvertNegativeInvoice(i.invoice_id))


@provokes("ORCHESTRATION_TOO_LATE")
def call_off_too_late(users: Users, account: str) -> Said | None:
    ro = users.pick("ro", lambda ro: ro.status in ("REFUNDING", "COMPLETED"))
    return of(users, ro, lambda ro: CancelRefundOrchestration(ro.orchestration_id))


@provokes("REFERENCE_MISMATCH")
def refund_of_nothing(users: Users, account: str) -> Said | None:
    memo = users.pick("cm", lambda m: m.status == "POSTED" and not m.reference_invoice_id and not m.locked_by)
    return of(users, memo, lambda m: AutomateRefund(m.credit_memo_id))


@provokes("LINE_NOT_NEGATIVE", "LINE_ALREADY_CONVERTED")
def convert_what_cannot(users: Users, account: str) -> Said | None:
    converted = users.pick("invoice", lambda i: any(line.converted for line in i.lines.values()))
    invoice = converted if users.chosen.random() < 0.5 else users.pick("invoice")
    return of(users, invoice, lambda i: ConvertNegativeInvoice(i.invoice_id))


@provokes("INVOICE_HAS_SETTLEMENTS")
def convert_too_late(users: Users, account: str) -> Said | None:
    netted = users.pick(
        "invoice",
        lambda i: i.level == "INVOICE" and not i.locked_by and i.has_negative_lines,
    )
    return of(users, netted, lambda i: ConvertNegativeInvoice(i.invoice_id))


@provokes("LINE_NOT_PAYABLE")
def pay_a_line_that_owes_nothing(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.unapplied > 0)
    if payment is None:
        return None
    owing = unpaid(payment.account_id, payment.currency)
    invoice = users.pick("invoice", lambda i: owing(i) and _owes_nothing(i))
    if invoice is None:
        return None
    line = _owes_nothing(invoice)[0]
    amount = money(1, payment.currency)
    return of(users, payment, lambda p: ApplyPayment(p.payment_id, invoice.invoice_id, amount, line))


def _owes_nothing(invoice: Any) -> list[str]:
    return [id for id, line in invoice.lines.items() if line.line.line_total.amount_minor <= 0]


@provokes("SETTLEMENT_LEVEL_MISMATCH")
def at_the_other_level(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.unapplied > 0)
    if payment is None:
        return None
    owing = unpaid(payment.account_id, payment.currency)
    invoice = users.pick("invoice", lambda i: owing(i) and i.level == "INVOICE")
    if invoice is None:
        return None
    line = next((id for id, line in invoice.lines.items() if line.line.line_total.amount_minor > 0), None)
    amount = money(1, payment.currency)
    return of(users, payment, lambda p: ApplyPayment(p.payment_id, invoice.invoice_id, amount, line))


@provokes("TOO_MANY_TARGETS")
def more_targets_than_a_memo_takes(users: Users, account: str) -> Said | None:
    def applied(memo: Any) -> ApplyCreditMemo:
        targets = tuple(Target(f"none-{n}", money(1, memo.currency)) for n in range(301))
        return ApplyCreditMemo(memo.credit_memo_id, targets)

    return of(users, users.pick("cm"), applied)


@provokes("TOO_MANY_LINES")
def more_lines_than_a_memo_takes(users: Users, account: str) -> CreateCreditMemo | None:
    if users.chosen.random() < 0.8:
        return None
    lines = tuple(NewLine(str(n), POUND, Product(name="x")) for n in range(301))
    return CreateCreditMemo("GBP", lines, "X")


@provokes("TAX_STRATEGY_UNSUPPORTED")
def tax_that_nobody_has_told(users: Users, account: str) -> CreateCreditMemo:
    return CreateCreditMemo("GBP", (NewLine("1", POUND, Product(name="x")),), "X", tax_strategy="CALCULATE")


@provokes("APPROVAL_REQUIRED")
def given_back_by_whom_it_is_not_for(users: Users, account: str) -> Said:
    """Above the threshold, where there is one; of no payment, so it comes to nothing either way."""
    paid = RecordExternalRefund(Money(1_000_000, "GBP"), "CASH", "till", DAY, "asked", "none")
    clerk = {"type": "USER", "id": "olga", "roles": ["PAYMENT_OPERATIONS"]}
    return envelope(users, paid, account, actor=clerk)


@provokes("ACCOUNT_HAS_BALANCE")
def close_with_debts(users: Users, account: str) -> Said | None:
    invoice = users.pick("invoice", lambda i: i.balance > 0)
    return of(users, invoice, lambda _: CloseAccount())
