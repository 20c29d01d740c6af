"""Properties of money: whatever is split comes together again, to the last minor unit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.invoice import Product
from events.money import AllocationWeightsZero, Money, allocate
from services.applications.applying import ApplyCreditMemo, ApplyPayment, Target, UnapplyPayment
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import CreateCreditMemo, NewLine
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, Original, PostInvoice, TaxLine
from services.orchestrations.planning import Source, choose
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from services.refunds.refund import Refund
from tests.journey import SUCCESS, Journey
from tests.spec import NOW

CURRENCIES = st.sampled_from(("JPY", "USD", "KWD"))
slow = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(st.integers(-(10**9), 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.data())
def test_the_shares_of_an_allocation_sum_to_exactly_the_whole(
    total: int, weights: list[int], data: Any
) -> None:
    policy = data.draw(st.sampled_from(("LAST", "FIRST", "LARGEST_FRACTION")))
    if sum(weights) == 0:
        with pytest.raises(AllocationWeightsZero):
            allocate(total, weights, policy)
        return
    shares = allocate(total, weights, policy)
    assert sum(shares) == total
    assert allocate(-total, weights, policy) == [-share for share in shares]
    assert all(share * total >= 0 for share in shares)


@given(st.integers(1, 10**9), st.lists(st.integers(1, 10**6), min_size=1, max_size=40))
def test_a_largest_fraction_share_is_within_one_unit_of_its_part(total: int, weights: list[int]) -> None:
    for share, weight in zip(allocate(total, weights), weights, strict=True):
        assert abs(share * sum(weights) - total * weight) < sum(weights)


LINES = st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 900)), min_size=1, max_size=8)


def posted(j: Journey, lines: list[tuple[int, int]], currency: str) -> str:
    made = tuple(
        Line(str(n), Money(charge, currency), (TaxLine(Money(tax if charge else 0, currency)),))
        for n, (charge, tax) in enumerate(lines)
    )
    j.when(PostInvoice("INV", currency, made)).then_accepted()
    return j.last_id(Invoice)


@slow
@given(
    LINES,
    CURRENCIES,
    st.lists(st.integers(1, 5000), min_size=1, max_size=6),
    st.sampled_from(("INVOICE", "INVOICE_LINE")),
)
def test_any_split_of_an_invoice_settles_to_zero_residue(
    lines: list[tuple[int, int]], currency: str, splits: list[int], level: str
) -> None:
    j = Journey(application_level=level) if level == "INVOICE" else Journey()
    invoice = posted(j, lines, currency)
    total = j.state(Invoice, invoice).total
    for n, share in enumerate(allocate(total, splits) if total else []):
        if share:
            _pay_or_credit(j, n, Money(share, currency), invoice)
    state = j.state(Invoice, invoice)
    assert state.balance == 0
    taxes = sum(a.tax_portion for a in state.applications.values())
    charges = sum(a.charge_portion for a in state.applications.values())
    assert taxes == sum(tax if charge else 0 for charge, tax in lines)
    assert charges + taxes == total
    if level == "INVOICE_LINE":
        assert {line.balance for line in state.lines.values()} == {0}
    _undo_payments(j, invoice, total)


def _pay_or_credit(j: Journey, n: int, money: Money, invoice: str) -> None:
    if n % 2:
        line = NewLine("1", money, Product(name="goodwill"))
        j.when(CreateCreditMemo(money.currency, (line,), "GOODWILL", f"CM{n}")).then_accepted()
        j.when(ApplyCreditMemo(f"CM{n}", (Target(invoice, money),))).then_accepted()
        assert j.state(CreditMemo, f"CM{n}").balance == 0
    else:
        j.when(ProcessPayment(money, f"P{n}", j.card_a)).then_accepted()
        j.settle(f"P{n}", SUCCESS)
        j.when(ApplyPayment(f"P{n}", invoice, money)).then_accepted()


def _undo_payments(j: Journey, invoice: str, total: int) -> None:
    """Taking every payment's applications back restores both sides."""
    applications = [a for a in j.state(Invoice, invoice).applications.values() if a.source_kind == "payment"]
    for application in applications:
        j.when(UnapplyPayment(application.source_id, application.application_id)).then_accepted()
    credited = sum(a.amount for a in j.state(Invoice, invoice).applications.values())
    assert j.state(Invoice, invoice).balance == total - credited
    for payment_id in {application.source_id for application in applications}:
        payment = j.state(Payment, payment_id)
        assert payment.unapplied == payment.amount


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), max_size=8), st.integers(1, 1500))
def test_a_plan_takes_the_fewest_payments_and_never_more_than_is_there(
    amounts: list[tuple[int, int]], target: int
) -> None:
    pairs = enumerate(amounts)
    sources = [Source(f"P{n}", applied, min(applied, refundable), NOW) for n, (applied, refundable) in pairs]
    plan = choose(target, sources)
    refunded = sum(pick.refund for pick in plan.picks)
    assert refunded + plan.leftover == target
    assert all(0 < pick.refund <= pick.unapply == pick.refund + pick.reapply for pick in plan.picks)
    eligible = sorted((source.eligible for source in sources), reverse=True)
    if plan.leftover == 0:
        fewest = next(n for n in range(len(eligible) + 1) if sum(eligible[:n]) >= target)
        assert len(plan.picks) == fewest
    else:
        assert refunded == sum(eligible)


# -- signed lines


SIGNED = st.lists(st.tuples(st.integers(-4000, 9000), st.integers(0, 900)), min_size=1, max_size=8)
SPLITS = st.lists(st.integers(1, 5000), min_size=1, max_size=6)
LEVELS = st.sampled_from(("INVOICE", "INVOICE_LINE"))


def signed(lines: list[tuple[int, int]], currency: str) -> tuple[Line, ...]:
    """Lines whose tax has the sign of their charge."""
    made: list[Line] = []
    for n, (charge, tax) in enumerate(lines):
        tax = 0 if charge == 0 else tax if charge > 0 else -tax
        made.append(Line(str(n), Money(charge, currency), (TaxLine(Money(tax, currency)),) if tax else ()))
    return tuple(made)


def settle(j: Journey, invoice: str, currency: str, splits: list[int]) -> None:
    """Pay and credit what is open, in parts."""
    owed = j.state(Invoice, invoice).balance
    for n, share in enumerate(allocate(owed, splits) if owed > 0 else []):
        if share:
            _pay_or_credit(j, n, Money(share, currency), invoice)


@slow
@given(SIGNED, CURRENCIES, SPLITS, LEVELS)
def test_an_invoice_with_signed_lines_uses_its_own_credit_and_settles_to_zero_residue(
    lines: list[tuple[int, int]], currency: str, splits: list[int], level: str
) -> None:
    j = Journey(
        application_level=level, convert_negative_lines=True, apply_converted_credit_to_source_invoice=True
    )
    made = signed(lines, currency)
    j.when(PostInvoice("INV", currency, made)).then_accepted()
    invoice = j.last_id(Invoice)
    totals = [line.charge.amount_minor + sum(tax.amount.amount_minor for tax in line.taxes) for line in made]
    owed, credit = sum(t for t in totals if t > 0), -sum(t for t in totals if t < 0)
    assert j.state(Invoice, invoice).balance == max(owed - credit, 0)
    memos = [j.state(CreditMemo, id) for id in j.ids(CreditMemo)]
    assert sum(memo.total for memo in memos) == credit
    assert sum(memo.balance for memo in memos) == max(credit - owed, 0)
    settle(j, invoice, currency, splits)
    state = j.state(Invoice, invoice)
    assert state.balance == 0
    settled = state.applications.values()
    assert sum(a.amount for a in settled) == owed
    if owed:
        taxes = [sum(tax.amount.amount_minor for tax in line.taxes) for line in made]
        assert sum(a.tax_portion for a in settled) == sum(tax for tax in taxes if tax > 0)
    if level == "INVOICE_LINE":
        assert {line.balance for line in state.lines.values()} == {0}


@slow
@given(SIGNED, CURRENCIES, SPLITS)
def test_signed_lines_that_are_not_converted_are_netted_at_the_level_of_the_invoice(
    lines: list[tuple[int, int]], currency: str, splits: list[int]
) -> None:
    j = Journey(application_level="INVOICE")
    made = signed(lines, currency)
    j.when(PostInvoice("INV", currency, made)).then_accepted()
    invoice = j.last_id(Invoice)
    total, tax = j.state(Invoice, invoice).total, j.state(Invoice, invoice).tax
    settle(j, invoice, currency, splits)
    settled = j.state(Invoice, invoice).applications.values()
    assert j.state(Invoice, invoice).balance == min(total, 0)
    assert all(a.charge_portion + a.tax_portion == a.amount for a in settled)
    if total > 0:
        assert (sum(a.amount for a in settled), sum(a.tax_portion for a in settled)) == (total, tax)


@slow
@given(
    st.lists(st.tuples(st.integers(1, 9000), st.integers(0, 900)), min_size=1, max_size=5),
    CURRENCIES,
    st.lists(st.integers(1, 50), min_size=1, max_size=4),
    SPLITS,
    LEVELS,
)
def test_an_invoice_that_is_taken_back_in_any_parts_is_refunded_to_zero_residue(
    lines: list[tuple[int, int]], currency: str, parts: list[int], splits: list[int], level: str
) -> None:
    """Paid in any parts, and reduced in any parts: in the end every payment is back, to the last unit."""
    j = Journey("recommended", application_level=level, auto_apply_credits_to_posted_invoices=False)
    invoice = posted(j, lines, currency)
    total = j.state(Invoice, invoice).total
    for n, share in enumerate(share for share in allocate(total, splits) if share):
        j.when(ProcessPayment(Money(share, currency), f"P{n}", j.card_a)).then_accepted()
        j.settle(f"P{n}", SUCCESS).when(ApplyPayment(f"P{n}", invoice, Money(share, currency)))
        j.then_accepted()
    for n, taken in enumerate(zip(*(_taken(line, parts) for line in lines), strict=True)):
        back = tuple(
            Line(
                str(line),
                Money(-charge, currency),
                (TaxLine(Money(-tax, currency)),) if tax and charge else (),
                reference=Original(invoice_id=invoice, line_id=str(line)),
            )
            for line, (charge, tax) in enumerate(taken)
            if charge or tax
        )
        if back:
            j.at(timedelta(days=1)).when(PostInvoice(f"NEG{n}", currency, back)).then_accepted()
            _refund(j)
    state = j.state(Invoice, invoice)
    credited = sum(a.amount for a in state.applications.values() if a.source_kind == "cm")
    back_again = sum(j.state(Payment, id).refunded for id in j.ids(Payment))
    assert (state.balance, credited, back_again) == (0, total, total)
    assert sum(j.state(Payment, id).applied + j.state(Payment, id).unapplied for id in j.ids(Payment)) == 0
    assert {j.state(CreditMemo, id).balance for id in j.ids(CreditMemo)} == {0}


def _taken(line: tuple[int, int], parts: list[int]) -> list[tuple[int, int]]:
    """A line's charge and tax in parts; a part without charge has no tax: it goes with the last that has."""
    charges, taxes = allocate(line[0], parts), allocate(line[1], parts)
    homeless = sum(tax for charge, tax in zip(charges, taxes, strict=True) if charge == 0)
    taken = [(charge, tax if charge else 0) for charge, tax in zip(charges, taxes, strict=True)]
    last = max(n for n, (charge, _) in enumerate(taken) if charge)
    taken[last] = taken[last][0], taken[last][1] + homeless
    return taken


def _refund(j: Journey) -> None:
    j.run_processes()
    for id in j.ids(Refund):
        if j.state(Refund, id).in_flight:
            j.answer_refund(id, SUCCESS)
    j.run_processes()
