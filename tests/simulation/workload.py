"""What a seed's users do: accounts, cards that misbehave, invoices, payments, credits, refunds, mistakes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date
from typing import Any

from events import ids
from events.gateway import Capabilities
from events.money import Money
from gateways.simulator.translation import CAPABILITIES
from services.account import RegisterAccount
from services.applying import ApplyPayment, UnapplyPayment
from services.authorizing import AuthorizePayment, CapturePayment, ReverseAuthorization
from services.commands import TYPES
from services.gateway import RegisterGateway, RegisterGatewayProvider
from services.method_choice import DeletePaymentMethod, SetDefaultPaymentMethod
from services.paying import ApplyTo, CancelPayment, ProcessPayment, RecordExternalPayment
from services.payment_method import SavePaymentMethod
from services.posting import Line, Original, PostInvoice, TaxLine
from services.refunding import IssueRefund
from services.tenant_settings import ApplySettingsPreset, ChangeTenantSettings
from tests.simulation.virtual_loop import START

TENANT = "t"
ACCOUNTS = 5
CURRENCIES = ("GBP", "JPY")
TOKENS = (
    "tok_ok",
    "tok_ok",
    "tok_soft_funds",
    "tok_hard_lost",
    "tok_timeout_before",
    "tok_timeout_after",
    "tok_async_ok",
    "tok_async_fail",
    "tok_system_error_2",
    "tok_system_error_9",
    "tok_rate_limit_1",
    "tok_unmapped",
    "tok_refund_closed",
    "tok_refund_soft_1",
    "tok_refund_async",
    "tok_refund_async_fail",
    "tok_refund_timeout_after",
    "tok_refund_timeout_before",
    "tok_slow_900",
)

Said = tuple[object, str, str]
"""A command, its account, and the key that identifies it."""


def setup(capabilities: Capabilities = CAPABILITIES) -> Iterator[Said]:
    yield ApplySettingsPreset("recommended"), ids.tenant_home("settings", TENANT), "preset"
    polls = ChangeTenantSettings({"unknown_outcome_poll": (5, 10, 30, 60, 120, 600)})
    yield polls, ids.tenant_home("settings", TENANT), "polls"
    provider = RegisterGatewayProvider("sim", "Simulator", "simulator", capabilities)
    yield provider, ids.tenant_home("gateway_provider", "sim"), "provider"
    gateway = RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST")
    yield gateway, ids.tenant_home("gateway", "gw"), "gateway"


class Users:
    """Seeded: the same seed says the same, whatever the answers were."""

    def __init__(self, seed: int) -> None:
        self._chosen = random.Random(seed)
        self._invoices: list[tuple[str, str, str, int]] = []
        """External id, account, currency, amount."""
        self._payments: list[tuple[str, str, str, int]] = []
        self._authorizations: list[tuple[str, str, str]] = []
        self._applied: list[tuple[str, str, str, str]] = []
        """Payment, account, invoice, and the id that its application to line 0 has, if it has one."""
        self._said: list[Said] = []

    def commands(self, count: int) -> Iterator[Said]:
        accounts = [f"A{n}" for n in range(ACCOUNTS)]
        for account in accounts:
            yield RegisterAccount(account), account, f"register {account}"
            for n in range(3):
                token = self._chosen.choice(TOKENS)
                card = SavePaymentMethod("gw", token, "card", f"card-{account}-{n}")
                yield card, account, f"card {account} {n}"
        kinds = (
            self._post,
            self._pay,
            self._post_and_pay,
            self._reduce,
            self._apply,
            self._refund,
            self._odd,
        )
        for number in range(count):
            account = self._chosen.choice(accounts)
            said = self._chosen.choices(kinds, (4, 3, 5, 6, 2, 2, 4))[0](number, account)
            self._said.append(said)
            yield said

    def _method(self, account: str) -> str:
        return ids.method_id(TENANT, account, "m1", f"card-{account}-{self._chosen.randrange(3)}")

    def _post(self, number: int, account: str) -> Said:
        currency, chosen = self._chosen.choice(CURRENCIES), self._chosen
        lines = tuple(
            Line(
                str(n),
                Money(chosen.randint(0, 5000), currency),
                (TaxLine(Money(chosen.randint(0, 300), currency)),),
            )
            for n in range(chosen.randint(1, 4))
        )
        total = sum(line.charge.amount_minor + line.taxes[0].amount.amount_minor for line in lines)
        self._invoices.append((f"inv-{number}", account, currency, total))
        return PostInvoice(f"inv-{number}", currency, lines), account, f"post {number}"

    def _pay(self, number: int, account: str) -> Said:
        if not self._invoices:
            return self._post(number, account)
        external_id, account, currency, total = self._chosen.choice(self._invoices[-12:])
        amount = max(1, self._chosen.choice((total, total, total // 2, total // 3)))
        self._payments.append((f"P{number}", account, currency, amount))
        target = ApplyTo(ids.invoice_id(TENANT, external_id))
        if self._chosen.random() < 0.15:
            cash = RecordExternalPayment(
                Money(amount, currency), "CASH", "till", date(2026, 1, 5), f"P{number}", (target,)
            )
            return cash, account, f"pay {number}"
        sale = ProcessPayment(
            Money(amount, currency), f"P{number}", self._method(account), apply_to=(target,)
        )
        return sale, account, f"pay {number}"

    def _post_and_pay(self, number: int, account: str) -> Said:
        return self._pay(number, account) if number % 2 else self._post(number, account)

    def _reduce(self, number: int, account: str) -> Said:
        """A negative invoice on an earlier one, now and then with a positive line of its own."""
        if not self._invoices:
            return self._post(number, account)
        external_id, account, currency, total = self._chosen.choice(self._invoices[-12:])
        amount = max(1, total // self._chosen.choice((1, 2, 4, 10)))
        lines = [
            Line("n", Money(-amount, currency), reference=Original(external_id=external_id, line_id="0"))
        ]
        if self._chosen.random() < 0.2:
            lines.append(Line("p", Money(amount // 2, currency)))
        return PostInvoice(f"neg-{number}", currency, tuple(lines)), account, f"reduce {number}"

    def _apply(self, number: int, account: str) -> Said:
        if not self._payments or not self._invoices:
            return self._post(number, account)
        payment_id, account, currency, amount = self._chosen.choice(self._payments[-12:])
        external_id = self._chosen.choice(self._invoices[-12:])[0]
        money = Money(max(1, amount // self._chosen.choice((1, 2, 5))), currency)
        invoice_id, key = ids.invoice_id(TENANT, external_id), f"apply {number}"
        command_id = ids.command_id(TENANT, TYPES[ApplyPayment], key)
        application_id = ids.part_id(command_id, f"{payment_id}/{invoice_id}/0/None")
        self._applied.append((payment_id, account, invoice_id, application_id))
        return ApplyPayment(payment_id, invoice_id, money), account, key

    def _refund(self, number: int, account: str) -> Said:
        if not self._payments:
            return self._post(number, account)
        payment_id, account, currency, amount = self._chosen.choice(self._payments[-12:])
        money = Money(max(1, amount // self._chosen.choice((1, 1, 2))), currency)
        source: Any = self._chosen.choice(("UNAPPLIED", "REOPEN_INVOICES"))
        return IssueRefund(payment_id, money, "asked", source, f"R{number}"), account, f"refund {number}"

    def _odd(self, number: int, account: str) -> Said:
        """Repeats, misused keys, cancellations, authorizations, and what cannot be."""
        chosen = self._chosen
        match chosen.randrange(10):
            case 0 if self._said:
                return chosen.choice(self._said)
            case 1 if self._said:
                _, account, key = chosen.choice(self._said)
                return RegisterAccount("somebody else"), account, key
            case 2 if self._payments:
                payment_id, account, _, _ = chosen.choice(self._payments[-12:])
                return CancelPayment(payment_id), account, f"cancel {number}"
            case 3:
                currency = chosen.choice(CURRENCIES)
                self._authorizations.append((f"H{number}", account, currency))
                hold = AuthorizePayment(
                    Money(5000, currency), "gw", self._method(account), START, f"H{number}"
                )
                return hold, account, f"authorize {number}"
            case 4 if self._authorizations:
                held, account, currency = chosen.choice(self._authorizations)
                capture = CapturePayment(
                    held, Money(chosen.choice((1000, 3000, 6000)), currency), f"P{number}"
                )
                self._payments.append((f"P{number}", account, currency, 1000))
                return capture, account, f"capture {number}"
            case 5 if self._authorizations:
                held, account, currency = chosen.choice(self._authorizations)
                return ReverseAuthorization(held, Money(1500, currency)), account, f"reverse {number}"
            case 6:
                return SetDefaultPaymentMethod(self._method(account)), account, f"default {number}"
            case 7:
                return DeletePaymentMethod(self._method(account)), account, f"delete {number}"
            case 8 if self._applied:
                payment_id, account, _, application_id = chosen.choice(self._applied)
                return UnapplyPayment(payment_id, application_id), account, f"unapply {number}"
            case _:
                application = UnapplyPayment(f"P{number // 2}", "no-such-application")
                return application, account, f"unapply {number}"
