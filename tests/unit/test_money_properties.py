"""Properties of money: whatever is split comes together again, to the last minor unit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.invoice import Product
from events.money import AllocationWeightsZero, Money, allocate
from services.applying import ApplyCreditMemo, ApplyPayment, Target, UnapplyPayment
from services.credit_memo import CreditMemo
from services.crediting import CreateCreditMemo, NewLine
from services.invoice import Invoice
from services.paying import ProcessPayment
from services.payment import Payment
from services.planning import Source, choose
from services.posting import Line, PostInvoice, TaxLine
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
