"""Whatever is commanded in whatever order: after each command every cent is in exactly one place.

A rejected command changes nothing; an accepted one moves money, and neither makes nor loses any.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.invoice import Product
from events.money import Money
from events.shapes import Outcome
from projections.account_balances import account_balances
from projections.derived import net_balance
from projections.folding import Folder, Rows
from projections.ledger import ledger_balances
from projections.models import TABLES
from services.applications.allocating import (
    AllocatePayment,
    MoveCreditMemoApplications,
    MovePaymentApplications,
    Place,
)
from services.applications.applying import (
    ApplyCreditMemo,
    ApplyPayment,
    Target,
    UnapplyCreditMemo,
    UnapplyPayment,
)
from services.applications.auto_applying import AutoApplyPayment
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine, VoidCreditMemo
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.credits.debit_memo import DebitMemo
from services.credits.debiting import CreateDebitMemo, VoidDebitMemo
from services.credits.writing_off import ReverseWriteOff, WriteOffInvoice
from services.disputes.dispute import Dispute
from services.disputes.disputing import AcceptDispute, RecordDisputeOpened, RecordDisputeOutcome
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, Original, PostInvoice, TaxLine
from services.invoices.preparing import DraftInvoice, PostDraftInvoice
from services.invoices.voiding import VoidInvoice
from services.orchestrations.canceling import CancelRefundOrchestration
from services.orchestrations.orchestration import RefundOrchestration
from services.payments.arriving import RecordPaymentOutcome
from services.payments.paying import ApplyTo, ProcessPayment
from services.payments.payment import Payment
from services.payments.returning import RecordPaymentReturn
from services.payments.taking_back import CancelPayment
from services.refunds.refund import Refund
from services.refunds.refund_outcomes import RecordRefundOutcome
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund, RecordExternalRefund
from tests.journey import CARD_CLOSED, SOFT, SUCCESS, Journey
from tests.spec import NOW

ORDERS: Any = ("HIGHEST_BALANCE_FIRST", "OLDEST_FIRST", "TAX_FIRST")
PENDING = Outcome("Pending", gateway_ref="x_1")
UNKNOWN = Outcome("Indeterminate", raw_message="no answer came")
REVERSED = Outcome("Reversed", raw_code="account_closed")
KINDS = (
    "post pay answer apply unapply credit_line memo apply_memo unapply_memo reduce refund reopen "
    "payout outside cancel answer_refund orchestrate return dispute end_dispute accept_dispute "
    "allocate move move_memo void_invoice write_off reverse_write_off debit void_debit draft post_draft"
).split()
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 7), st.integers(1, 600)), min_size=20, max_size=40
)


SETTINGS = st.fixed_dictionaries(
    {
        "application_level": st.sampled_from(("INVOICE", "INVOICE_LINE")),
        "auto_apply_credits_to_posted_invoices": st.booleans(),
        "auto_apply_payments_to_posted_invoices": st.booleans(),
        "application_order": st.sampled_from(("PAYMENTS_FIRST", "CREDITS_FIRST")),
        "offset_before_refund": st.sampled_from(("NONE", "ACCOUNT")),
        "refund_unapply_strategy": st.sampled_from(("FULL_THEN_REAPPLY", "PARTIAL")),
        "small_balance_write_off": st.sampled_from(
            ((), tuple(Money(60, currency) for currency in ("JPY", "USD", "KWD")))
        ),
    }
)


class Walk:
    """A journey that takes one step after the other, and looks at the books after each."""

    def __init__(self, currency: str, settings: dict[str, Any]) -> None:
        self.currency = currency
        self.folder, self.rows, self.folded = Folder(TABLES), Rows(), 0
        self.j = Journey("recommended", **settings)
        for n, charge in enumerate((2000, 900)):
            lines = (self.line("1", charge), self.line("2", 77))
            self.j.when(PostInvoice(f"S{n}", currency, lines)).then_accepted()
        for n, amount in enumerate((1500, 800, 2500)):
            target = (ApplyTo(self.j.ids(Invoice)[0]),) if n < 2 else ()
            self.j.when(ProcessPayment(Money(amount, currency), f"S{n}", self.j.card_a, apply_to=target))
            self.j.settle(f"S{n}", SUCCESS).then_accepted()
        memo = (NewLine("1", Money(1200, currency), Product(name="x")),)
        self.j.when(CreateCreditMemo(currency, memo, "X", "S")).then_accepted()

    def take(self, n: int, kind: str, which: int, amount: int) -> None:
        before = self.books()
        command = self.command(n, kind, which, Money(amount, self.currency))
        if command is not None:
            self.j.when(command)
            assert self.j.answer.status in ("ACCEPTED", "REJECTED"), self.j.outcome
            if self.j.answer.status == "REJECTED":
                assert self.books() == before
        elif kind == "orchestrate":
            self.j.run_processes()
        self.check()

    def pick(self, state: type[Any], which: int) -> str | None:
        known = self.j.ids(state)
        return known[which % len(known)] if known else None

    def command(self, n: int, kind: str, which: int, money: Money) -> object | None:
        invoice, payment = self.pick(Invoice, which), self.pick(Payment, which)
        memo, refund = self.pick(CreditMemo, which), self.pick(Refund, which)
        match kind:
            case "post":
                lines = (self.line("1", money.amount_minor), self.line("2", 7 * (which + 1)))
                return PostInvoice(f"I{n}", self.currency, lines)
            case "reduce" if invoice:
                reference = Original(invoice_id=invoice, line_id="1")
                line = self.line("1", -money.amount_minor, reference)
                return PostInvoice(f"N{n}", self.currency, (line,), original_invoice_id=invoice)
            case "pay":
                return ProcessPayment(money, f"P{n}", self.j.card_a)
            case "memo":
                return CreateCreditMemo(
                    self.currency, (NewLine("1", money, Product(name="x")),), "X", f"M{n}"
                )
            case "credit_line" if invoice:
                return CreditInvoice(invoice, (CreditedLine("1", money),), "X")
            case _:
                return self.on_source(kind, invoice, payment, memo, refund, which, money)

    def on_source(
        self,
        kind: str,
        invoice: str | None,
        payment: str | None,
        memo: str | None,
        refund: str | None,
        which: int,
        money: Money,
    ) -> object | None:
        match kind:
            case "answer" if payment:
                outcome = (SUCCESS, SUCCESS, CARD_CLOSED, PENDING, UNKNOWN)[money.amount_minor % 5]
                return RecordPaymentOutcome(self.j.state(Payment, payment).operation_key, "GATEWAY", outcome)
            case "answer_refund" if refund and self.j.state(Refund, refund).operation_key:
                outcome = (SUCCESS, CARD_CLOSED, SOFT, PENDING, UNKNOWN, REVERSED)[money.amount_minor % 6]
                return RecordRefundOutcome(self.j.state(Refund, refund).operation_key, "GATEWAY", outcome)
            case "apply" if invoice and payment:
                return ApplyPayment(self.pick(Payment, money.amount_minor) or "", invoice, money)
            case "unapply" if payment and (on_it := self.j.state(Payment, payment).applications):
                return UnapplyPayment(payment, next(iter(on_it)))
            case "apply_memo" if invoice and memo:
                return ApplyCreditMemo(memo, (Target(invoice, money),))
            case "unapply_memo" if memo and (on_it := self.j.state(CreditMemo, memo).applications):
                return UnapplyCreditMemo(memo, next(iter(on_it)))
            case "refund" | "reopen" if payment:
                source = "UNAPPLIED" if kind == "refund" else "REOPEN_INVOICES"
                return IssueRefund(payment, money, "X", source)
            case "payout" if memo:
                return IssueUnreferencedRefund(memo, money, "X", self.j.card_b)
            case "outside" if payment:
                return RecordExternalRefund(money, "CASH", "till", NOW.date(), "X", payment)
            case "auto" if payment:
                return AutoApplyPayment(payment)
            case "void" if memo:
                return VoidCreditMemo(memo)
            case "give_up" if ro := self.pick(RefundOrchestration, which):
                return CancelRefundOrchestration(ro)
            case "cancel" if payment:
                return CancelPayment(payment)
            case "allocate" if payment:
                return AllocatePayment(payment, line_order=ORDERS[which % 3])
            case "move" if invoice and payment and (on_it := self.j.state(Payment, payment).applications):
                return MovePaymentApplications(payment, tuple(on_it)[:2], (Place(invoice),))
            case "move_memo" if invoice and memo and (on_it := self.j.state(CreditMemo, memo).applications):
                return MoveCreditMemoApplications(memo, tuple(on_it)[:2], (Place(invoice),))
            case _:
                return self.on_invoice(kind, invoice, which, money) or self.by_a_bank(
                    kind, payment, which, money
                )

    def on_invoice(self, kind: str, invoice: str | None, which: int, money: Money) -> object | None:
        debit = self.pick(DebitMemo, which)
        match kind:
            case "void_invoice" if invoice:
                return VoidInvoice(invoice)
            case "write_off" if invoice:
                return WriteOffInvoice(invoice, "X")
            case "reverse_write_off" if invoice:
                return ReverseWriteOff(invoice)
            case "debit":
                line = NewLine("1", money, Product(name="x"))
                return CreateDebitMemo(self.currency, (line,), "X", invoice_later=which % 2 == 0)
            case "void_debit" if debit:
                return VoidDebitMemo(debit)
            case "draft":
                return DraftInvoice(f"D{which}", self.currency, (self.line("1", money.amount_minor),))
            case "post_draft" if invoice:
                return PostDraftInvoice(invoice)
            case _:
                return None

    def by_a_bank(self, kind: str, payment: str | None, which: int, money: Money) -> object | None:
        dispute = self.pick(Dispute, which)
        match kind:
            case "return" if payment:
                return RecordPaymentReturn(payment, "R01", "NOTIFICATION", NOW)
            case "dispute" if payment:
                return RecordDisputeOpened(f"D{money.amount_minor}", payment, money, "fraud", "NOTIFICATION")
            case "end_dispute" if dispute:
                outcome = "WON" if money.amount_minor % 2 else "LOST"
                return RecordDisputeOutcome(dispute, outcome, "NOTIFICATION")
            case "accept_dispute" if dispute:
                return AcceptDispute(dispute, "small")
            case _:
                return None

    def line(self, id: str, charge: int, reference: Original | None = None) -> Line:
        tax = charge // 10 if charge > 0 else -(-charge // 10)
        taxes = (TaxLine(Money(tax, self.currency)),) if tax else ()
        return Line(id, Money(charge, self.currency), taxes, reference=reference)

    def books(self) -> dict[str, Any]:
        kinds = (Invoice, Payment, CreditMemo, Refund)
        return {f"{kind.KIND}-{id}": self.j.state(kind, id) for kind in kinds for id in self.j.ids(kind)}

    def check(self) -> None:
        """Each document's balances add up, none goes below zero, and money is conserved between them."""
        invoices, payments, memos, refunds = (
            [self.j.state(kind, id) for id in self.j.ids(kind)]
            for kind in (Invoice, Payment, CreditMemo, Refund)
        )
        for invoice in invoices:
            _check_invoice(invoice)
        for payment in payments:
            assert min(payment.buckets.values()) >= 0
            assert sum(payment.buckets.values()) == payment.received
            assert payment.dispute_held == sum(payment.disputes.values())
            assert payment.overdrawn >= 0
            assert payment.applied == sum(a.amount for a in payment.applications.values())
            assert payment.refund_reserved == sum(payment.reservations.values())
        for memo in memos:
            assert min(memo.applied, memo.refunded, memo.refund_reserved, memo.balance) >= 0
            used = memo.applied + memo.refunded + memo.refund_reserved
            assert used + memo.balance == (memo.total if memo.status == "POSTED" else 0)
            assert memo.status != "POSTED" or memo.balance == sum(x.balance for x in memo.lines.values())
        on_invoices = sum(a.amount for invoice in invoices for a in invoice.applications.values())
        assert on_invoices == sum(source.applied for source in (*payments, *memos))
        went_back = sum(refund.amount for refund in refunds if refund.status == "PROCESSED")
        assert went_back == sum(source.refunded for source in (*payments, *memos))
        reserved = {id for source in (*payments, *memos) for id in source.reservations}
        assert reserved <= {refund.refund_id for refund in refunds if refund.open or refund.orchestration_id}
        self._check_locks(invoices)
        self._check_ledger()

    def _check_ledger(self) -> None:
        """Domain 3.11: debits equal credits, and the ledger says what the balances say."""
        new = [event for event in self.j.events() if event.position > self.folded]
        self.folded += len(new)
        self.folder.from_zero(new, self.rows)
        ledger: dict[str, int] = defaultdict(int)
        for (*_, account), row in self.rows.get(ledger_balances, {}).items():
            ledger[account] += row["debit"] - row["credit"]
        assert sum(ledger.values()) == 0
        booked = sum(ledger[name] for name in ("Accounts receivable", "Unapplied cash", "Customer credits"))
        assert booked == sum(net_balance(row) for row in self.rows.get(account_balances, {}).values())

    def _check_locks(self, invoices: list[Invoice]) -> None:
        """An orchestration sends no more back than its memo; who holds an invoice is at work on it."""
        live = [self.j.state(RefundOrchestration, id) for id in self.j.ids(RefundOrchestration)]
        for ro in live:
            legs = sum(leg.amount for leg in ro.legs.values() if not leg.settled)
            assert ro.refunded + legs <= self.j.state(CreditMemo, ro.credit_memo_id).total
        holders = {f"refunding:{ro.orchestration_id}" for ro in live if ro.open}
        assert {invoice.locked_by for invoice in invoices if invoice.locked_by} <= holders


def _check_invoice(invoice: Invoice) -> None:
    settled = sum(a.amount for a in invoice.applications.values())
    converted = sum(line.converted for line in invoice.lines.values())
    assert invoice.balance == invoice.total - converted - settled
    assert invoice.total <= 0 or 0 <= invoice.balance <= invoice.total - converted
    if invoice.level != "INVOICE":
        assert invoice.balance == sum(line.balance for line in invoice.lines.values())
    for application in invoice.applications.values():
        assert application.charge_portion + application.tax_portion == application.amount
        assert min(application.charge_portion, application.tax_portion) >= 0
    if invoice.balance == 0 and invoice.total > 0:
        assert sum(a.tax_portion for a in invoice.applications.values()) == invoice.tax


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS, st.sampled_from(("JPY", "USD", "KWD")), SETTINGS)
def test_every_cent_is_in_one_place_after_every_command(
    steps: list[tuple[str, int, int]], currency: str, settings: dict[str, Any]
) -> None:
    walk = Walk(currency, settings)
    for n, (kind, which, amount) in enumerate(steps):
        walk.take(n, kind, which, amount)
