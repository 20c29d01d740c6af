"""Accounts that differ in what they could pay with, each with an item that is due and names no method."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from events import ids
from events.shapes import Outcome
from services.accounts.account import RegisterAccount
from services.accounts.billing_profile import DefineBillingProfile
from services.accounts.method_choice import DeletePaymentMethod, SetDefaultPaymentMethod
from services.accounts.payment_method import SavePaymentMethod
from services.invoices.posting import Term
from services.schedules.items import NewItem
from services.schedules.scheduling import CreatePaymentSchedule
from tests.journey import Journey, line, money

DAY = date(2026, 4, 6)
HARD = Outcome("PermanentFail", "Security", hard=True, raw_code="restricted_card")


class Payers(Journey):
    """`expected`: account to the name of the method that it is collected with; None: nothing."""

    def __init__(self) -> None:
        super().__init__(create_payment_schedules=True)
        self.expected: dict[str, str | None] = {}
        for situation in SITUATIONS:
            self.account = situation.__name__.strip("_")
            self.when(RegisterAccount(self.account)).then_accepted()
            wanted = situation(self)
            self.expected[self.account] = self.method(wanted) if wanted else None

    def method(self, name: str) -> str:
        return ids.method_id(self.tenant, self.account, "m1", name)

    def saves(self, name: str, **more: Any) -> str:
        """Some time after what was saved before."""
        self.at(self.time.replace(microsecond=self.time.microsecond + 1))
        given = {"type": "card", "fingerprint": name, **more}
        self.when(SavePaymentMethod("gw", f"tok_{self.account}_{name}", **given)).then_accepted()
        return self.method(name)

    def defaults_to(self, name: str) -> None:
        self.when(SetDefaultPaymentMethod(self.saves(name))).then_accepted()

    def bills(self, profile: str, method: str | None, is_default: bool = False) -> None:
        defined = DefineBillingProfile(profile, profile, 1, is_default, saved_payment_method_id=method)
        self.when(defined).then_accepted()

    def owes(self, **more: Any) -> str:
        return self.post(
            f"I-{self.account}", line("1", "10.00"), payment_term=Term("PERIOD_BASED", 10), **more
        )

    def plans(self, reference: str = "INVOICE", **invoice: Any) -> None:
        """By hand."""
        of = self.owes(exclude_from_payments=True, **invoice) if reference == "INVOICE" else "O"
        items = (NewItem(money("10.00"), DAY),)
        self.when(CreatePaymentSchedule(reference, of, items, total_requested=money("10.00"))).then_accepted()  # type: ignore[arg-type]


Situation = Callable[[Payers], str | None]


def automatic_by_default(p: Payers) -> str:
    p.defaults_to("default")
    p.saves("newest")
    p.owes()
    return "default"


def automatic_by_default_profile(p: Payers) -> str:
    p.defaults_to("default")
    p.bills("all", p.saves("profile"), is_default=True)
    p.owes()
    return "profile"


def automatic_by_its_own_profile(p: Payers) -> str:
    p.defaults_to("default")
    p.bills("all", p.saves("other"), is_default=True)
    p.bills("one", p.saves("profile"))
    p.owes(profile_id="one")
    return "profile"


def automatic_whose_profile_names_none(p: Payers) -> str:
    p.defaults_to("default")
    p.bills("one", None)
    p.owes(profile_id="one")
    return "default"


def automatic_by_its_invoice(p: Payers) -> str:
    p.defaults_to("default")
    p.bills("one", p.saves("profile"))
    p.owes(profile_id="one", saved_payment_method_id=p.saves("invoice"))
    return "invoice"


def by_hand_with_the_newest(p: Payers) -> str:
    p.defaults_to("default")
    p.bills("all", p.method("default"), is_default=True)
    p.saves("older")
    p.saves("newest")
    p.plans()
    return "newest"


def by_hand_without_an_invoice(p: Payers) -> str:
    p.defaults_to("default")
    p.saves("newest")
    p.plans("ORDER")
    return "newest"


def by_hand_by_its_invoice(p: Payers) -> str:
    p.saves("invoice")
    p.saves("newest")
    p.plans(saved_payment_method_id=p.method("invoice"))
    return "invoice"


def by_hand_by_its_profile(p: Payers) -> str:
    p.bills("one", p.saves("profile"))
    p.saves("newest")
    p.plans(profile_id="one")
    return "profile"


def by_hand_with_the_newest_that_works(p: Payers) -> str:
    p.saves("older")
    p.saves("working")
    p.saves("present", usage="ON_SESSION")
    p.saves("contact", owner_type="CONTACT", contact_id="C")
    p.saves("unmandated", type="sepa_debit")
    p.saves("gone")
    p.when(DeletePaymentMethod(p.method("gone"))).then_accepted()
    p.request("blocked", "10.00", method=p.saves("blocked"))
    p.settle("blocked", HARD).then_accepted()
    p.plans()
    return "working"


def by_hand_with_a_contact_s_that_is_shared(p: Payers) -> str:
    p.saves("older")
    p.saves("contact", owner_type="CONTACT", contact_id="C", shared_within_account=True)
    p.plans()
    return "contact"


def by_hand_with_a_mandate(p: Payers) -> str:
    p.saves("older")
    p.saves("debit", type="sepa_debit", mandate_reference="M")
    p.plans()
    return "debit"


def by_hand_with_nothing(p: Payers) -> None:
    p.plans()


SITUATIONS: tuple[Situation, ...] = tuple(
    found for name, found in list(globals().items()) if name.startswith(("automatic_", "by_hand_"))
)
