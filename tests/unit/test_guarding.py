"""What the guard lets whom do: on his own accounts, for a memo, alone or by two; and what is kept of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import orjson
import pytest

from events.access import AccessDenied
from events.account import AccountRegistered
from events.gateway_call import GatewayResolutionProposed
from events.payment_method import PaymentMethodSaved
from events.shapes import Outcome
from services.access.denial import Denial
from services.access.guarding import Guard
from services.accounts.account import Account, CloseAccount, PlacePaymentHold
from services.accounts.method_choice import DeletePaymentMethod
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.calls.calling import GatewayCall
from services.commands import Actor, decode, encode
from services.handler import Handler
from services.orchestrations.falling_back import ChooseRefundFallback
from services.payments.arriving import ResolvePaymentOutcome
from services.payments.external import RecordExternalPayment
from services.payments.paying import ProcessPayment
from services.payments.payment import Payment
from services.refunds.lining import ApplyRefund
from services.signing_in.seeing import sight
from services.store.memory import MemoryStore
from services.store.protocol import ParkedCommand
from services.subjects import SUBJECTS
from services.tenants.tenant_settings import ChangeTenantSettings, TenantSettings
from services.unparking import command_of
from tests.journey import Journey, money
from tests.spec import NOW, Spec

DAY = date(2026, 3, 2)


def who(*roles: str, id: str = "ada", accounts: tuple[str, ...] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "USER", "id": id, "roles": roles, "accounts": accounts, **more}


def signed_in(spec: Any) -> Any:
    spec.handler = Handler(spec.store, SUBJECTS, spec, guard=Guard(signed_in=True))
    return spec


@pytest.fixture
def spec() -> Spec:
    """Accounts A and B, and everybody signs in."""
    spec = Spec()
    for account in ("A", "B"):
        spec.given((Account, account, AccountRegistered(account, "Ada")), account=account)
    return signed_in(spec)


HOLD = PlacePaymentHold("a test")
CASH = RecordExternalPayment(money("1.00"), "CASH", "till", DAY)
SALE = ProcessPayment(money("1.00"), method_id="M")


def test_who_has_no_role_does_nothing(spec: Spec) -> None:
    spec.when(HOLD, actor=who()).then_rejected("FORBIDDEN")
    spec.when(HOLD, actor=who("EMPEROR")).then_rejected("FORBIDDEN")


def test_a_denial_comes_before_what_else_is_wrong(spec: Spec) -> None:
    """Who may not send it learns nothing from it."""
    spec.when(HOLD, account="nobody", actor=who("READ_ONLY"), data={}).then_rejected("FORBIDDEN")


def test_where_nobody_signs_in_who_names_a_role_is_held_to_it() -> None:
    spec = Spec().given((Account, "A", AccountRegistered("A", "Ada")))
    spec.when(HOLD, actor=who("READ_ONLY")).then_rejected("FORBIDDEN")
    spec.when(HOLD).then_accepted()


# -- accounts


def test_a_customer_pays_on_his_own_account_only(spec: Spec) -> None:
    customer = who("PORTAL", accounts=("A",))
    spec.when(SALE, actor=customer).then_rejected("METHOD_NOT_FOUND")
    spec.when(SALE, account="B", actor=customer).then_rejected("ACCOUNT_NOT_VISIBLE")
    spec.when(SALE, actor=who("PORTAL")).then_rejected("ACCOUNT_NOT_VISIBLE")
    spec.when(CASH, actor=customer).then_rejected("FORBIDDEN")


def test_access_to_payments_follows_the_account_where_the_tenant_says_so(spec: Spec) -> None:
    clerk = who("PAYMENT_OPERATIONS", accounts=("A",))
    spec.when(HOLD, account="B", actor=clerk).then_rejected("ACCOUNT_NOT_VISIBLE")
    spec.when(CASH, account="B", actor=clerk).then_accepted()
    shared = ChangeTenantSettings({"share_payment_data_by_account": True})
    spec.when(shared, actor=who("PAYMENT_ADMIN")).then_accepted()
    spec.when(CASH, account="B", actor=clerk).then_rejected("ACCOUNT_NOT_VISIBLE")
    spec.when(CASH, account="A", actor=clerk).then_accepted()


def test_who_manages_methods_does_so_on_every_account(spec: Spec) -> None:
    shared = ChangeTenantSettings({"share_payment_data_by_account": True})
    spec.when(shared, actor=who("PAYMENT_ADMIN")).then_accepted()
    save = SavePaymentMethod("gw", "tok", "card")
    spec.when(save, account="B", actor=who("PAYMENT_OPERATIONS", accounts=("A",))).then_rejected(
        "GATEWAY_NOT_FOUND"
    )
    spec.when(save, account="B", actor=who("PORTAL", accounts=("A",))).then_rejected("ACCOUNT_NOT_VISIBLE")


def test_a_customer_has_nothing_to_do_with_other_contacts_methods(spec: Spec) -> None:
    for contact, shared in (("C1", False), ("C2", False), ("C3", True)):
        method = PaymentMethodSaved(
            contact, "A", "CONTACT", "m", "gw", f"tok_{contact}", "card", contact, contact_id=contact,
            shared_within_account=shared,
        )  # fmt: skip
        spec.given((SavedMethod, contact, method))
    customer = who("PORTAL", accounts=("A",), contact="C1")
    for mine in ("C1", "C3"):
        spec.when(DeletePaymentMethod(mine), actor=customer).then_accepted()
    spec.when(DeletePaymentMethod("C2"), actor=customer).then_rejected("FORBIDDEN")
    pays = ProcessPayment(money("1.00"), method_id="C2")
    spec.when(pays, actor=customer).then_rejected("FORBIDDEN")
    for_another = SavePaymentMethod("gw", "tok", "card", owner_type="CONTACT", contact_id="C2")
    spec.when(for_another, actor=customer).then_rejected("FORBIDDEN")


def test_of_contacts_own_methods_a_customer_sees_his() -> None:
    seen = sight(
        Guard(True), Actor("USER", "c", ("PORTAL",), ("A",), "C1"), "payment-methods", TenantSettings()
    )
    rows = [("C1", False), ("C2", False), ("C3", True), (None, False)]
    kept = [seen.keeps({"contact_id": id, "shared_within_account": shared}) for id, shared in rows]
    assert kept == [True, False, True, True]
    clerk = sight(
        Guard(True), Actor("USER", "o", ("PAYMENT_OPERATIONS",)), "payment-methods", TenantSettings()
    )
    assert clerk.keeps({"contact_id": "C2", "shared_within_account": False})


# -- what a command says itself


def test_who_works_on_memos_applies_refunds_to_memos_only(spec: Spec) -> None:
    clerk = who("CREDIT_MEMO_OPERATIONS")
    spec.when(ApplyRefund("R", money("1.00"), payment_id="P"), actor=clerk).then_rejected("FORBIDDEN")
    spec.when(ApplyRefund("R", money("1.00"), credit_memo_id="C"), actor=clerk).then_rejected(
        "REFUND_NOT_FOUND"
    )


@pytest.mark.parametrize("option", ["UNREFERENCED", "MANUAL"])
def test_to_send_a_refund_elsewhere_takes_the_right_to_approve(spec: Spec, option: Any) -> None:
    elsewhere = ChooseRefundFallback("RO", 1, option)
    spec.when(elsewhere, actor=who("CREDIT_MEMO_OPERATIONS")).then_rejected("FORBIDDEN")
    spec.when(elsewhere, actor=who("BILLING_ADMIN")).then_rejected("ORCHESTRATION_NOT_FOUND")
    open_credit = ChooseRefundFallback("RO", 1, "OPEN_CREDIT")
    spec.when(open_credit, actor=who("CREDIT_MEMO_OPERATIONS")).then_rejected("ORCHESTRATION_NOT_FOUND")


# -- two persons


def unknown(threshold: str) -> Journey:
    """P of 100.00, whose outcome nobody knows."""
    j = Journey()
    j.when(ChangeTenantSettings({"refund_approval_threshold": money(threshold)})).then_accepted()
    j.request("P", "100.00")
    j.settle("P", Outcome("Indeterminate"))
    return signed_in(j)


SAYS = ResolvePaymentOutcome("P", "PROCESSED", "the gateway's console")


def test_below_the_threshold_one_person_says_what_became_of_a_payment() -> None:
    j = unknown("100.00")
    j.when(SAYS, actor=who("PAYMENT_OPERATIONS")).then_accepted()
    assert j.state(Payment, "P").status == "PROCESSED"


def test_above_it_a_second_person_says_the_same() -> None:
    j = unknown("99.99")
    olga, rolf = who("PAYMENT_OPERATIONS", id="olga"), who("PAYMENT_OPERATIONS", id="rolf")
    j.when(SAYS, actor=olga).then_accepted()
    key = j.state(Payment, "P").operation_key
    proposed = GatewayResolutionProposed("PROCESSED", "the gateway's console", "olga")
    assert j.state(GatewayCall, key).proposed == proposed
    assert j.state(Payment, "P").status == "INDETERMINATE"
    j.when(SAYS, actor=olga).then_rejected("SELF_APPROVAL_FORBIDDEN")
    j.when(ResolvePaymentOutcome("P", "FAILED", "no"), actor=rolf).then_accepted()
    assert j.state(Payment, "P").status == "INDETERMINATE", "he says otherwise: a third may agree with one"
    j.when(SAYS, actor=olga).then_accepted()
    j.when(SAYS, actor=rolf).then_accepted()
    assert j.state(Payment, "P").status == "PROCESSED"


def test_an_admin_needs_no_second() -> None:
    j = unknown("99.99")
    j.when(SAYS, actor=who("PAYMENT_ADMIN")).then_accepted()
    assert j.state(Payment, "P").status == "PROCESSED"


# -- what is kept


async def test_a_denied_command_is_told_as_an_event_once() -> None:
    class Clock:
        def now(self) -> Any:
            return NOW

    store = MemoryStore(now=Clock().now)
    handler = Handler(store, SUBJECTS, Clock(), guard=Guard(signed_in=True))
    actor = Actor("USER", "rita", ("READ_ONLY",))
    sent = decode(*encode(CloseAccount(), tenant="t", account_id="A", actor=actor, idempotency_key="k"))
    await handler.handle([sent])
    await handler.handle([sent])
    (row,) = await store.due_commands(NOW, 30.0, 10)
    recorded = decode(row.type, row.body)
    for _ in range(2):
        (answer,) = await handler.handle([recorded])
        assert answer.status == "ACCEPTED", answer.outcome
    (event,) = await store.read(0, 10)
    assert event.stream.startswith(f"t/{Denial.KIND}-")
    assert event.home == "t/~access/t"
    fact = AccessDenied(
        "FORBIDDEN",
        "payments.account.close.v1",
        "USER",
        "rita",
        ("READ_ONLY",),
        "Accounts: register, profiles, holds, close: not for read only",
        "A",
        str(sent.command_id),
    )
    told = orjson.loads(event.data)
    assert told == orjson.loads(orjson.dumps(fact))
    assert orjson.loads(event.meta)["actor"]["id"] == "access"


def test_a_parked_command_is_of_whom_it_was_found_to_be() -> None:
    """Whatever its body says: a stranger's claim must not come true by being parked."""
    claimed = Actor("SYSTEM", "process:refunding", ("OPERATOR",))
    type, body = encode(CloseAccount(), tenant="t", account_id="A", actor=claimed, idempotency_key="k")
    found = orjson.dumps(Actor("SERVICE", "billing", ("BILLING_OPERATIONS",)))
    id = decode(type, body).command_id
    parked = ParkedCommand(id, "t/A", type, body, (("tender_actor", found),), "poison", NOW)
    assert command_of(parked).actor == Actor("SERVICE", "billing", ("BILLING_OPERATIONS",))
