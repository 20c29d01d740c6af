"""What a seed's users do: accounts, cards that misbehave, invoices, payments, credits, refunds.

They look at what the log says now and do something about it, as people before a screen do; and what
they see may have changed before their command arrives.  Mistakes and decisions are in modules of
their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, NamedTuple, get_args

import orjson

from events import ids
from events.invoice import Product
from events.money import Money, major
from services.access import api_key
from services.access.api_key import CreateApiKey, RecordApiKeyUse, RevokeApiKey
from services.accounts.account import (
    CloseAccount,
    PlacePaymentHold,
    ReactivateAccount,
    RegisterAccount,
    ReleasePaymentHold,
    SetAutoCollect,
    SuspendAccount,
)
from services.accounts.billing_profile import DefineBillingProfile, SetAutomaticPayments, UpdateBillingProfile
from services.accounts.method_choice import (
    ClearDefaultPaymentMethod,
    DeletePaymentMethod,
    ReorderPaymentMethods,
    SetDefaultPaymentMethod,
)
from services.accounts.payment_method import SavePaymentMethod
from services.applications.allocating import (
    AllocateCreditMemo,
    AllocatePayment,
    MoveCreditMemoApplications,
    MovePaymentApplications,
    Order,
    Place,
)
from services.applications.applying import (
    ApplyCreditMemo,
    ApplyCreditMemoLine,
    ApplyPayment,
    LineTarget,
    Target,
    UnapplyCreditMemo,
    UnapplyCreditMemoLine,
    UnapplyPayment,
)
from services.applications.rule_applying import ApplyByRules
from services.applications.spreading import LineOrder
from services.authorizations.authorizing import AuthorizePayment, PostAuthorize, RecordExternalAuthorization
from services.authorizations.capturing import CapturePayment
from services.authorizations.reversing import CancelAuthorization, ReverseAuthorization
from services.calls.accompanying import Payer
from services.calls.gateway import (
    ActivateGateway,
    CloseCircuit,
    DeactivateGateway,
    OpenCircuit,
    RegisterGateway,
    RestrictGateway,
    RotateGatewayCredential,
    SwitchGateway,
)
from services.calls.provider import MapMethodTypes, PublishRawCodeMap, RegisterGatewayProvider
from services.commands import Actor, encode
from services.credits.credit_memo import CreditMemo
from services.credits.crediting import (
    CreateCreditMemo,
    MemoTax,
    NewLine,
    PostCreditMemo,
    RecoverCreditMemo,
    VoidCreditMemo,
)
from services.credits.crediting_lines import CreditedLine, CreditInvoice
from services.credits.debiting import CreateDebitMemo, VoidDebitMemo
from services.credits.writing_off import ReverseWriteOff, WriteOffInvoice
from services.invoices.converting import ConvertNegativeInvoice
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, Original, PostInvoice, TaxLine
from services.invoices.preparing import CancelDraftInvoice, DraftInvoice, PostDraftInvoice, ReviseDraftInvoice
from services.invoices.standing import ExcludeInvoiceFromPayments, ExtendDueDate, LockInvoice, UnlockInvoice
from services.invoices.voiding import VoidInvoice
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, OneTimeMethod, ProcessPayment
from services.payments.payment import Payment
from services.payments.payment_group import NewGroup
from services.payments.taking_back import CancelPayment
from services.refunds.refunding import IssueRefund, IssueUnreferencedRefund, RecordExternalRefund
from services.tenants.periods import CloseAccountingPeriod, OpenAccountingPeriod, ReopenAccountingPeriod
from services.tenants.rates import PublishExchangeRates
from services.tenants.tenant_settings import ApplySettingsPreset, ChangeTenantSettings
from services.transfers.transferring import RecallTransfer, TransferUnappliedBalance
from tests.simulation.bank import MAIN, STRICT, Bank
from tests.simulation.virtual_loop import START
from tests.simulation.watch import Watch

TENANT = "t"
ACCOUNTS = tuple(f"A{n}" for n in range(5))
PASSING = "A9"
"""An account that comes and goes."""
CURRENCIES = ("GBP", "JPY")
DAY = date(2026, 1, 5)
TOKENS = (
    "tok_ok tok_ok tok_ok tok_soft_funds tok_hard_lost tok_timeout_before tok_timeout_after tok_async_ok "
    "tok_async_fail tok_system_error_2 tok_system_error_9 tok_rate_limit_1 tok_unmapped tok_refund_closed "
    "tok_refund_closed tok_refund_soft_1 tok_refund_soft_9 tok_refund_async tok_refund_async_fail "
    "tok_refund_timeout_after tok_refund_timeout_before tok_slow_900 tok_review tok_action tok_short "
    "tok_refund_reversed tok_refund_reversed tok_data_rejected tok_data_rejected tok_advice_24"
).split()
LATELY = 24
"""Of how many of each kind people still think."""


class Said(NamedTuple):
    """A command, its account, and the key that identifies it."""

    command: object
    account: str
    key: str
    envelope: dict[str, Any] = {}
    """What its record holds besides; under `data`, what replaces parts of the command."""

    @property
    def is_dry_run(self) -> bool:
        return bool(self.envelope.get("dry_run"))


def record(said: Said) -> tuple[str, bytes]:
    """The type and the value of its record."""
    type, body = encode(
        said.command,
        tenant=TENANT,
        account_id=said.account,
        actor=Actor("USER", "sim", ("OPERATOR",)),
        idempotency_key=said.key,
    )
    if said.envelope:
        sent = orjson.loads(body)
        more = {**said.envelope, "data": {**sent["data"], **said.envelope.get("data", {})}}
        body = orjson.dumps({**sent, **more})
    return type, body


def home_of(command: Any) -> str:
    """The `account_id` of a command about the tenant itself."""
    match command:
        case ApplySettingsPreset() | ChangeTenantSettings():
            return ids.tenant_home("settings", TENANT)
        case CreateApiKey() | RevokeApiKey() | RecordApiKeyUse():
            return api_key.home(command, TENANT)
        case _ if type(command).__module__ == "services.schedules.policy":
            return ids.tenant_home("settings", TENANT)
        case RegisterGatewayProvider() | PublishRawCodeMap() | MapMethodTypes():
            return ids.tenant_home("gateway_provider", command.provider_id)
        case PublishExchangeRates():
            return ids.tenant_home("exchange_rates", command.source)
        case OpenAccountingPeriod() | CloseAccountingPeriod() | ReopenAccountingPeriod():
            return ids.tenant_home("period", command.legal_entity_id)
        case _:
            return ids.tenant_home("gateway", command.gateway_id)


def setup(bank: Bank) -> Iterator[Said]:
    commands: list[object] = [
        ApplySettingsPreset("recommended"),
        ChangeTenantSettings(
            {
                "unknown_outcome_poll": (5, 10, 30, 60, 120, 600),
                "application_rules": ("MATCH_ID", "OLDEST_INVOICE"),
                "allow_cross_account": True,
                "refund_approval_threshold": money(2000, "GBP") if bank.simulator.seed % 4 == 1 else None,
                "unreferenced_refund_amount_max": (money(300, "GBP"),)
                if bank.simulator.seed % 3 == 1
                else (),
                "create_payment_schedules": False,
                "active_schedulers_max": 1 if bank.simulator.seed % 2 else 30,
            }
        ),
    ]
    for gateway_id, steps in ((MAIN, None), (STRICT, {"GBP": 5})):
        can, prorates = bank.capabilities[gateway_id], bank.simulator.seed % 2 == 0
        commands += [
            RegisterGatewayProvider(gateway_id, gateway_id, "simulator", can),
            RegisterGateway(
                gateway_id, gateway_id, gateway_id, "env:NONE", f"m-{gateway_id}", "TEST",
                external_reference=f"ref-{gateway_id}", minor_unit_overrides=steps,
                settings={"prorate_lines": "true"} if prorates else None,
            ),
        ]  # fmt: skip
    commands.append(MapMethodTypes(MAIN, {"Visa Credit": "card", "Direct Debit": "bacs_debit"}))
    for n, command in enumerate(commands):
        yield Said(command, home_of(command), f"setup {n}")


Say = Callable[["Users", str], object | None]
WORDS: dict[Say, int] = {}
"""What a seed's people say, and how often: in parts of the sum."""


def says(often: int) -> Callable[[Say], Say]:
    """A word: it looks at what is there, and says a command about it, or has nothing to say now."""

    def bind(way: Say) -> Say:
        WORDS[way] = often
        return way

    return bind


class Users:
    """Seeded; `command` says what comes next, from what they see."""

    def __init__(self, seed: int, watch: Watch, bank: Bank) -> None:
        self.chosen = random.Random(seed)
        self.seen, self.bank = watch, bank
        self.said: list[Said] = []
        self.number = 0

    def beginnings(self) -> Iterator[Said]:
        for account in ACCOUNTS:
            yield Said(RegisterAccount(account), account, f"register {account}")
            for n in range(3):
                token = self.chosen.choice(TOKENS)
                yield Said(self.card(account, n, token), account, f"card {account} {n}")
        token, mine = self.chosen.choice(TOKENS), self.chosen.choice(ACCOUNTS)
        strict = SavePaymentMethod(STRICT, token, "card", f"strict-{mine}", expiry_month=1, expiry_year=2026)
        yield Said(strict, mine, f"strict card {mine}")
        old = SavePaymentMethod(MAIN, "tok_ok", "card", f"old-{mine}", expiry_month=1, expiry_year=2024)
        yield Said(old, mine, f"old card {mine}")

    def next(self, ways: dict[Say, int]) -> Said:
        """One of several ways, by weight; where one has nothing to do, an invoice is posted."""
        account = self.chosen.choice(ACCOUNTS)
        self.number += 1
        way = self.chosen.choices(list(ways), list(ways.values()))[0]
        said = way(self, account) or post(self, account)
        if not isinstance(said, Said):
            said = Said(said, account, f"{type(said).__name__} {self.number}")
        self.said.append(said)
        return said

    # -- what they see

    def pick(self, kind: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """One of the latest of a kind that is as wanted, or None."""
        found = [one for one in list(self.seen.of[kind].values())[-LATELY:] if wanted(one)]
        return self.chosen.choice(found) if found else None

    def pick_id(self, kind: str, wanted: Callable[[Any], bool] = lambda _: True) -> str | None:
        """Likewise, of what does not know its own id."""
        found = [id for id, one in list(self.seen.of[kind].items())[-LATELY:] if wanted(one)]
        return self.chosen.choice(found) if found else None

    def part(self, amount: int) -> int:
        return max(1, amount // self.chosen.choice((1, 1, 2, 3)))

    def method(self, account: str) -> str:
        mark = fingerprint(account, self.chosen.randrange(3))
        return ids.method_id(TENANT, account, f"m-{MAIN}", mark)

    def card(self, account: str, n: int, token: str, **more: Any) -> SavePaymentMethod:
        network = {"network": "Visa"} if n else {}
        card = SavePaymentMethod(MAIN, token, "card", fingerprint(account, n), **network, **more)
        return replace(card, type=None, external_type="visa credit") if n == 1 else card


def fingerprint(account: str, n: int) -> str:
    """Of an account's cards the last one is that of a household, which other accounts have saved too."""
    return f"card-{account}-{n}" if n < 2 else "card-of-the-household"


def money(amount: int, currency: str) -> Money:
    return Money(amount, currency)


def unpaid(account: str, currency: str | None = None) -> Callable[[Invoice], bool]:
    return lambda i: (
        i.account_id == account and i.balance > 0 and i.locked_by is None and currency in (None, i.currency)
    )


# -- invoices


@says(24)
def post(users: Users, account: str) -> Said:
    currency, chosen, number = chosen_currency(users), users.chosen, users.number
    lines = tuple(
        Line(
            str(n),
            money(charge := chosen.randint(0, 5000), currency),
            (TaxLine(money(chosen.randint(0, 300), currency)),),
            **_pieces(number, charge, currency),
        )
        for n in range(chosen.randint(1, 4))
    )
    if chosen.random() < 0.08:
        lines += (Line("off", money(-chosen.randint(1, 900), currency)),)
    return Said(PostInvoice(f"inv-{number}", currency, lines), account, f"post {number}")


def _pieces(number: int, charge: int, currency: str) -> dict[str, Any]:
    """Of every third invoice, how many, and at what price: now and then what comes to more is a discount."""
    if number % 3:
        return {}
    quantity = 2 + number % 2
    unit_price = major(-(-charge // quantity), currency)
    bolt = Product(sku="BOLT-M8", name="Bolt", commodity_code="31161600")
    return {"quantity": str(quantity), "uom": "EA", "unit_price": f"{unit_price:f}", "product": bolt}


def chosen_currency(users: Users) -> str:
    return users.chosen.choice(CURRENCIES)


@says(30)
def reduce(users: Users, account: str) -> Said | None:
    """A negative invoice on an earlier one, now and then with a positive line of its own."""
    paid = users.chosen.random() < 0.6
    original: Invoice | None = users.pick("invoice", lambda i: i.total > 0 and (i.applications or not paid))
    if original is None:
        return None
    amount = max(1, original.total // users.chosen.choice((1, 2, 4, 10)))
    known = users.chosen.random() < 0.97
    reference = Original(external_id=original.external_id if known else "never-posted", line_id="0")
    lines = [Line("n", money(-amount, original.currency), reference=reference)]
    if users.chosen.random() < 0.2:
        lines.append(Line("p", money(amount // 2, original.currency)))
    number = users.number
    said = PostInvoice(f"neg-{number}", original.currency, tuple(lines))
    return Said(said, original.account_id, f"reduce {number}")


@says(7)
def draft_invoice(users: Users, account: str) -> Said | None:
    """Written down; later revised, posted, or given up."""
    drafts = users.pick("invoice", lambda i: i.status == "DRAFT")
    chosen, number = users.chosen, users.number
    if drafts is None or chosen.random() < 0.4:
        lines = (Line("0", money(chosen.randint(1, 4000), currency := chosen_currency(users))),)
        return Said(DraftInvoice(f"draft-{number}", currency, lines), account, f"draft {number}")
    lines = (Line("0", money(chosen.randint(1, 4000), drafts.currency)),)
    match chosen.randrange(4):
        case 0:
            return of(users, drafts, lambda i: ReviseDraftInvoice(i.external_id, i.currency, lines))
        case 1:
            return of(users, drafts, lambda i: CancelDraftInvoice(i.invoice_id))
        case _:
            return of(users, drafts, lambda i: PostDraftInvoice(i.invoice_id))


@says(4)
def subscribe(users: Users, account: str) -> Said:
    """One more invoice of the one subscription; now and then one that takes the latest back."""
    amount = users.chosen.choice((3000, 3000, 3000, -500))
    said = PostInvoice(
        f"sub-{users.number}",
        "GBP",
        (Line("0", money(amount, "GBP")),),
        reference_type="SUBSCRIPTION",
        reference_id="S",
    )
    return Said(said, ACCOUNTS[0], f"subscribe {users.number}")


@says(5)
def debit(users: Users, account: str) -> Said | None:
    """Something is charged more, at once or with a later invoice; or it is waived."""
    chosen, number = users.chosen, users.number
    waiting = users.pick("dm", lambda m: m.open)
    if waiting and chosen.random() < 0.5:
        carried = PostInvoice(
            f"carry-{number}",
            waiting.currency,
            (Line("0", money(waiting.total, waiting.currency)),),
            reference_type="DEBIT_MEMO",
            reference_id=waiting.debit_memo_id,
        )
        return of(users, waiting, lambda m: carried)
    known = users.pick("dm", lambda m: m.kind == "STANDALONE")
    if known and chosen.random() < 0.3:
        return of(users, known, lambda m: VoidDebitMemo(m.debit_memo_id))
    currency = chosen_currency(users)
    line = NewLine("1", money(chosen.randint(1, 900), currency), Product(name="fee"))
    later = chosen.random() < 0.5
    created = CreateDebitMemo(currency, (line,), "FEE", f"D{number}", invoice_later=later)
    return Said(created, account, f"debit {number}")


@says(8)
def give_up_invoice(users: Users, account: str) -> Said | None:
    """It should not have been posted; nobody will pay it; or he will after all, and later."""
    chosen = users.chosen
    match chosen.randrange(5):
        case 0:
            unsettled = users.pick("invoice", lambda i: i.status == "POSTED" and not i.applications)
            return of(users, unsettled, lambda i: VoidInvoice(i.invoice_id))
        case 1 | 2:
            owed = users.pick("invoice", unpaid(account))
            return of(users, owed, lambda i: WriteOffInvoice(i.invoice_id, "GONE"))
        case 3:
            off = users.pick("invoice", lambda i: i.written_off)
            return of(users, off, lambda i: ReverseWriteOff(i.invoice_id))
        case _:
            owed = users.pick("invoice", unpaid(account))
            days = timedelta(days=chosen.randint(-10, 60))
            return of(users, owed, lambda i: ExtendDueDate(i.invoice_id, i.due_date + days))


HOLDER = {"type": "SERVICE", "id": "dunning"}
"""A process of the tenant's own, which takes invoices to itself for a while."""


@says(2)
def hold(users: Users, account: str) -> Said | None:
    held = users.pick("invoice", lambda i: i.locked_by == HOLDER["id"])
    if held and users.chosen.random() < 0.8:
        return let_invoice_go(users, held)
    owed = users.pick("invoice", unpaid(account))
    said = of(users, owed, lambda i: LockInvoice(i.invoice_id))
    return said and said._replace(envelope={"actor": HOLDER})


def let_invoice_go(users: Users, held: Invoice) -> Said | None:
    said = of(users, held, lambda i: UnlockInvoice(i.invoice_id))
    return said and said._replace(envelope={"actor": HOLDER})


@says(2)
def books(users: Users, account: str) -> Said:
    """Months that are over are closed, and opened again."""
    chosen, month = users.chosen, users.chosen.choice(MONTHS)
    known = users.seen.of["period"].get("default")
    status = known.months.get(month) if known else None
    if status == "CLOSED":
        say: object = ReopenAccountingPeriod(month)
    else:
        say = chosen.choice((CloseAccountingPeriod(month), OpenAccountingPeriod(month)))
    return Said(say, home_of(say), f"books {users.number}")


MONTHS = ("2025-11", "2025-12")
"""That are over as a seed begins."""


@says(3)
def convert(users: Users, account: str) -> Said | None:
    return of(users, users.pick("invoice", _is_unconverted), lambda i: ConvertNegativeInvoice(i.invoice_id))


def _is_unconverted(invoice: Invoice) -> bool:
    return any(x.line.line_total.amount_minor < 0 and not x.converted for x in invoice.lines.values())


@says(1)
def exclude(users: Users, account: str) -> Said | None:
    return of(users, users.pick("invoice"), lambda i: ExcludeInvoiceFromPayments(i.invoice_id, "disputed"))


def of(users: Users, found: Any, say: Callable[[Any], object]) -> Said | None:
    """A command about something that was found, for its account."""
    if found is None:
        return None
    command = say(found)
    return Said(command, found.account_id, f"{type(command).__name__} {users.number}")


# -- payments


@says(44)
def pay(users: Users, account: str) -> Said | None:
    invoice: Invoice | None = users.pick("invoice", lambda i: i.balance > 0)
    if invoice is None:
        return None
    chosen, account, number = users.chosen, invoice.account_id, users.number
    amount = users.part(invoice.balance)
    targets = [ApplyTo(invoice.invoice_id)]
    match chosen.randrange(8):
        case 0:
            targets = [ApplyTo(invoice.invoice_id, money(amount, invoice.currency))]
        case 1:
            line = chosen.choice(list(invoice.lines.values()))
            targets = [ApplyTo(invoice.invoice_id, line_id=line.line.line_id)]
        case 2:
            other = users.pick("invoice", unpaid(account, invoice.currency))
            targets += [ApplyTo(other.invoice_id)] if other and other is not invoice else []
        case 3:
            targets = []
    sum = money(amount, invoice.currency)
    if chosen.random() < 0.15:
        cash = RecordExternalPayment(sum, "CASH", "till", DAY, f"P{number}", tuple(targets[:1]))
        return Said(cash, account, f"cash {number}")
    return Said(_sale(users, account, sum, tuple(targets)), account, f"pay {number}")


def _sale(users: Users, account: str, amount: Money, targets: tuple[ApplyTo, ...]) -> ProcessPayment:
    chosen, number = users.chosen, users.number
    sale = ProcessPayment(amount, f"P{number}", apply_to=targets)
    match chosen.randrange(12):
        case 0:
            return sale  # with the account's default method, if it has one
        case 1:
            once = OneTimeMethod("card", chosen.choice(TOKENS))
            return replace(sale, method=once, gateway_id=MAIN)
        case 2:
            return replace(
                sale, method_id=users.method(account), new_payment_group=NewGroup(f"G-{account}", "order")
            )
        case 3:
            return replace(sale, method_id=users.method(account), payment_group_id=f"G-{account}")
        case 4:
            known = Payer("ada@example.com", f"192.0.2.{chosen.randrange(9)}")
            shopper = replace(sale, initiation="PORTAL", fraud_context=known, client_context="basket 7")
            return replace(shopper, method_id=users.method(account))
        case _:
            return replace(sale, method_id=users.method(account))


@says(5)
def strict_pay(users: Users, account: str) -> Said | None:
    """With the gateway that can do little: it takes pounds, in steps of five pence."""
    method = users.pick("spm", lambda m: m.gateway_id == STRICT and m.status == "ACTIVE")
    if method is None:
        return None
    number, invoice = users.number, users.pick("invoice", unpaid(method.account_id, "GBP"))
    targets = (ApplyTo(invoice.invoice_id),) if invoice else ()
    amount = money(5 * users.chosen.randint(1, 400), "GBP")
    return of(users, method, lambda m: ProcessPayment(amount, f"P{number}", m.method_id, apply_to=targets))


@says(14)
def apply(users: Users, account: str) -> Said | None:
    payment: Payment | None = users.pick("payment", lambda p: p.unapplied > 0)
    if payment is None:
        return None
    wanted = unpaid(payment.account_id, payment.currency) if users.chosen.random() < 0.8 else lambda _: True
    invoice: Invoice | None = users.pick("invoice", wanted)
    if invoice is None:
        return None
    most, line_id = min(payment.unapplied, max(invoice.balance, 1)), None
    if invoice.lines and users.chosen.random() < 0.3:
        line = users.chosen.choice(list(invoice.lines.values()))
        most, line_id = min(most, max(line.balance, 1)), line.line.line_id
    amount = money(users.part(most), payment.currency)
    return of(users, payment, lambda p: ApplyPayment(p.payment_id, invoice.invoice_id, amount, line_id))


@says(5)
def unapply(users: Users, account: str) -> Said | None:
    payment: Payment | None = users.pick("payment", lambda p: p.applications)
    if payment is None:
        return None
    application = users.chosen.choice(list(payment.applications))
    return of(users, payment, lambda p: UnapplyPayment(p.payment_id, application))


@says(5)
def pay_for_another(users: Users, account: str) -> Said | None:
    """Now and then more than it takes, or for an account that nobody knows."""
    payment: Payment | None = users.pick("payment", lambda p: p.unapplied > 0)
    if payment is None:
        return None
    others = [name for name in ACCOUNTS if name != payment.account_id]
    to = users.chosen.choice((*others, "nobody") if users.chosen.random() < 0.3 else others)
    invoice: Invoice | None = users.pick("invoice", unpaid(to, payment.currency))
    if invoice is None or users.chosen.random() < 0.3:
        amount = money(users.part(payment.unapplied), payment.currency)
        return of(users, payment, lambda p: TransferUnappliedBalance(p.payment_id, to, amount))
    most = payment.unapplied if users.chosen.random() < 0.2 else min(payment.unapplied, invoice.balance)
    amount = money(users.part(most), payment.currency)
    for_another = ApplyPayment(payment.payment_id, invoice.invoice_id, amount, associated_account_id=to)
    return of(users, payment, lambda p: for_another)


@says(1)
def send_home(users: Users, account: str) -> Said | None:
    """What another account has sent goes home again."""
    received = users.pick("payment", lambda p: p.from_account_id and p.unapplied > 0)
    if received is None:
        return None
    amount = money(users.part(received.unapplied), received.currency)
    return of(users, received, lambda p: TransferUnappliedBalance(p.payment_id, p.from_account_id, amount))


@says(3)
def recall(users: Users, account: str) -> Said | None:
    payment: Payment | None = users.pick("payment", lambda p: p.transfers)
    if payment is None:
        return None
    transfer = users.chosen.choice(list(payment.transfers))
    say = users.chosen.choice((RecallTransfer, UnapplyPayment))
    return of(users, payment, lambda p: say(p.payment_id, transfer))


@says(7)
def allocate(users: Users, account: str) -> Said | None:
    """Over several invoices at once, or whatever the account owes."""
    source = _source(users, lambda one: _spendable(one) > 0)
    if source is None:
        return None
    chosen, order = users.chosen, users.chosen.choice((None, None, *get_args(Order)))
    more: dict[str, Any] = {"order": order, "line_order": chosen.choice(get_args(LineOrder))}
    targets = _places(users, source, _spendable(source)) if chosen.random() < 0.7 else ()
    if isinstance(source, Payment):
        return of(users, source, lambda p: AllocatePayment(p.payment_id, targets, **more))
    return of(users, source, lambda m: AllocateCreditMemo(m.credit_memo_id, targets, **more))


def _source(users: Users, wanted: Callable[[Any], bool]) -> Any:
    kinds = ["payment", "cm"]
    users.chosen.shuffle(kinds)
    return users.pick(kinds[0], wanted) or users.pick(kinds[1], wanted)


def _spendable(source: Any) -> int:
    return source.unapplied if isinstance(source, Payment) else source.balance


def _places(users: Users, source: Any, most: int) -> tuple[Place, ...]:
    """One or two invoices; some with an amount, some by a line."""
    found: dict[str, Place] = {}
    for _ in range(users.chosen.randint(1, 2)):
        invoice = users.pick("invoice", unpaid(source.account_id, source.currency))
        if invoice is not None:
            amount, line_id = None, None
            if users.chosen.random() < 0.3:
                amount = money(users.part(max(1, min(most, invoice.balance))), invoice.currency)
            elif users.chosen.random() < 0.3:
                line_id = users.chosen.choice(list(invoice.lines))
            found[invoice.invoice_id] = Place(invoice.invoice_id, amount, line_id)
    return tuple(found.values())


@says(5)
def move(users: Users, account: str) -> Said | None:
    source = _source(users, lambda one: one.applications)
    if source is None:
        return None
    ids = list(source.applications)
    users.chosen.shuffle(ids)
    ids = ids[: users.chosen.randint(1, 2)]
    targets = _places(users, source, sum(source.applications[id].amount for id in ids))
    if not targets:
        return None
    if isinstance(source, Payment):
        return of(users, source, lambda p: MovePaymentApplications(p.payment_id, tuple(ids), targets))
    return of(users, source, lambda m: MoveCreditMemoApplications(m.credit_memo_id, tuple(ids), targets))


@says(4)
def cancel(users: Users, account: str) -> Said | None:
    payment = users.pick("payment", lambda p: p.unapplied and not p.applied) or users.pick("payment")
    return of(users, payment, lambda p: CancelPayment(p.payment_id))


# -- credit


@says(5)
def new_memo(users: Users, account: str) -> CreateCreditMemo:
    currency, chosen, number = chosen_currency(users), users.chosen, users.number
    lines = tuple(
        NewLine(
            str(n), money(chosen.randint(1, 3000), currency), Product(name="thing"), _taxes(users, currency)
        )
        for n in range(chosen.randint(1, 3))
    )
    earlier = DAY - timedelta(days=number % 70) if number % 4 == 0 else None
    memo = CreateCreditMemo(currency, lines, "GOODWILL", f"M{number}", draft=chosen.random() < 0.4)
    return replace(memo, effective_date=earlier)


def _taxes(users: Users, currency: str) -> tuple[MemoTax, ...]:
    return (MemoTax(money(users.chosen.randint(0, 90), currency)),) if users.chosen.random() < 0.5 else ()


@says(3)
def draft_memo(users: Users, account: str) -> Said | None:
    """What becomes of a draft: it is posted, or given up."""
    say = users.chosen.choice((PostCreditMemo, PostCreditMemo, RecoverCreditMemo))
    return of(users, users.pick("cm", lambda m: m.status == "DRAFT"), lambda m: say(m.credit_memo_id))


@says(2)
def void_memo(users: Users, account: str) -> Said | None:
    unused = users.pick("cm", lambda m: m.status == "POSTED" and m.balance == m.total)
    return of(users, unused, lambda m: VoidCreditMemo(m.credit_memo_id))


@says(5)
def credit_lines(users: Users, account: str) -> Said | None:
    invoice: Invoice | None = users.pick("invoice", lambda i: i.balance > 0)
    if invoice is None:
        return None
    line = users.chosen.choice(list(invoice.lines.values()))
    amount = money(
        users.part(max(min(line.balance - max(line.tax, 0), line.line.charge.amount_minor), 1)),
        invoice.currency,
    )
    credited = (CreditedLine(line.line.line_id, amount),)
    return of(users, invoice, lambda i: CreditInvoice(i.invoice_id, credited, "GOODWILL"))


@says(6)
def apply_memo(users: Users, account: str) -> Said | None:
    memo: CreditMemo | None = users.pick("cm", lambda m: m.balance > 0)
    if memo is None:
        return None
    found = {
        invoice.invoice_id: invoice
        for _ in range(users.chosen.randint(1, 2))
        if (invoice := users.pick("invoice", unpaid(memo.account_id, memo.currency)))
    }
    if not found:
        return None
    if users.chosen.random() < 0.4:
        return _apply_memo_line(users, memo, next(iter(found.values())))
    left, targets = memo.balance, list[Target]()
    for invoice in found.values():
        amount = users.part(min(max(left, 1), invoice.balance))
        left -= amount
        targets.append(Target(invoice.invoice_id, money(amount, memo.currency)))
    return of(users, memo, lambda m: ApplyCreditMemo(m.credit_memo_id, tuple(targets)))


def _apply_memo_line(users: Users, memo: CreditMemo, invoice: Invoice) -> Said | None:
    mine, its = (users.chosen.choice(list(lines.values())) for lines in (memo.lines, invoice.lines))
    amount = money(users.part(max(min(mine.balance, its.balance), 1)), memo.currency)
    target = LineTarget(invoice.invoice_id, its.line.line_id, amount)
    return of(users, memo, lambda m: ApplyCreditMemoLine(m.credit_memo_id, mine.line.line_id, (target,)))


@says(4)
def unapply_memo(users: Users, account: str) -> Said | None:
    memo: CreditMemo | None = users.pick("cm", lambda m: m.applications)
    if memo is None:
        return None
    application = users.chosen.choice(list(memo.applications))
    line_id = memo.applications[application].source_line_id
    if line_id and users.chosen.random() < 0.3:
        return of(users, memo, lambda m: UnapplyCreditMemoLine(m.credit_memo_id, line_id, application))
    return of(users, memo, lambda m: UnapplyCreditMemo(m.credit_memo_id, application))


# -- refunds


@says(10)
def refund(users: Users, account: str) -> Said | None:
    source: Any = users.chosen.choice(("UNAPPLIED", "REOPEN_INVOICES"))
    free = (lambda p: p.unapplied) if source == "UNAPPLIED" else (lambda p: p.refundable)
    payment: Payment | None = users.pick("payment", lambda p: free(p) > 0) or users.pick("payment")
    if payment is None:
        return None
    amount, id = money(users.part(max(free(payment), 1)), payment.currency), f"R{users.number}"
    return of(users, payment, lambda p: IssueRefund(p.payment_id, amount, "asked", source, id))


@says(4)
def pay_out(users: Users, account: str) -> Said | None:
    memo: CreditMemo | None = users.pick("cm", lambda m: m.balance > 0)
    if memo is None:
        return None
    amount, id = money(users.part(memo.balance), memo.currency), f"R{users.number}"
    method = users.method(memo.account_id) if users.chosen.random() < 0.7 else None
    group = f"G-{memo.account_id}" if users.number % 4 == 0 else None
    paid = IssueUnreferencedRefund(memo.credit_memo_id, amount, "asked", method, id, payment_group_id=group)
    return of(users, memo, lambda m: paid)


@says(3)
def refund_outside(users: Users, account: str) -> Said | None:
    id, chosen = f"R{users.number}", users.chosen
    payment = users.pick("payment", lambda p: p.unapplied > 0)
    if payment and chosen.random() < 0.6:
        amount = money(users.part(payment.unapplied), payment.currency)
        paid = RecordExternalRefund(amount, "CASH", "till", DAY, "asked", payment.payment_id, refund_id=id)
        return of(users, payment, lambda p: paid)
    memo = users.pick("cm", lambda m: m.balance > 0)
    if memo is None:
        return None
    amount = money(users.part(memo.balance), memo.currency)
    paid = RecordExternalRefund(
        amount, "CHECK", "no 7", DAY, "asked", credit_memo_id=memo.credit_memo_id, refund_id=id
    )
    return of(users, memo, lambda m: paid)


# -- authorizations


@says(6)
def authorize(users: Users, account: str) -> Said:
    number, currency = users.number, chosen_currency(users)
    amount, id = money(5000, currency), f"H{number}"
    meant = users.pick("invoice", unpaid(account, currency)) if number % 2 else None
    apply_to = (meant.invoice_id,) if meant else ()
    ref = f"x{number}"
    match users.chosen.randrange(6):
        case 0:
            users.bank.hold(ref, amount)
            soon = START + timedelta(seconds=users.chosen.uniform(5, 200))
            known: object = PostAuthorize(amount, MAIN, "card", "tok_ok", ref, START, id, soon)
        case 1:
            users.bank.hold(ref, amount)
            known = RecordExternalAuthorization(amount, MAIN, "card", "tok_ok", ref, START, id)
        case 2:
            token = users.chosen.choice(TOKENS)
            once = OneTimeMethod("card", "tok_data_rejected" if meant else token)
            known = AuthorizePayment(amount, MAIN, START, method=once, authorization_id=id, apply_to=apply_to)
        case _:
            known = AuthorizePayment(
                amount, MAIN, START, users.method(account), authorization_id=id, apply_to=apply_to
            )
    return Said(known, account, f"authorize {number}")


@says(1)
def strict_authorize(users: Users, account: str) -> Said | None:
    method = users.pick("spm", lambda m: m.gateway_id == STRICT)
    id, amount = f"H{users.number}", money(5000, "GBP")
    return of(
        users, method, lambda m: AuthorizePayment(amount, STRICT, START, m.method_id, authorization_id=id)
    )


@says(7)
def capture(users: Users, account: str) -> Said | None:
    held = users.pick("auth", lambda a: a.balance > 0)
    if held is None:
        return None
    invoice = users.pick("invoice", unpaid(held.account_id, held.currency))
    targets = (invoice.invoice_id,) if invoice and not (held.invoice_ids and users.number % 2) else ()
    amount = money(users.chosen.choice((1000, 3000, held.balance)), held.currency)
    final, id = users.chosen.random() < 0.3, f"P{users.number}"
    return of(users, held, lambda a: CapturePayment(a.authorization_id, amount, id, final, targets))


@says(4)
def let_go(users: Users, account: str) -> Said | None:
    held = users.pick("auth", lambda a: a.balance > 0)
    if held is None:
        return None
    if users.chosen.random() < 0.5:
        return of(users, held, lambda a: CancelAuthorization(a.authorization_id))
    amount = money(users.part(held.balance), held.currency)
    return of(users, held, lambda a: ReverseAuthorization(a.authorization_id, amount))


@says(2)
def by_rules(users: Users, account: str) -> object:
    return ApplyByRules(DAY if users.chosen.random() < 0.3 else None)


# -- methods, accounts, the tenant


@says(7)
def methods(users: Users, account: str) -> object:
    chosen, active = users.chosen, "ACTIVE"
    mine = [m for m in users.seen.of["spm"].values() if m.account_id == account and m.status == active]
    match chosen.randrange(6):
        case 0:
            return SetDefaultPaymentMethod(users.method(account))
        case 1:
            return ClearDefaultPaymentMethod()
        case 2 if mine:
            order = [m.method_id for m in mine]
            chosen.shuffle(order)
            return ReorderPaymentMethods(tuple(order))
        case 3:
            return users.card(
                account, chosen.randrange(3), chosen.choice(TOKENS), nickname=f"n{users.number}"
            )
        case 4:
            return users.card(account, chosen.randrange(3), "tok_ok", usage="ON_SESSION")
        case _:
            return DeletePaymentMethod(users.method(account))


@says(5)
def profiles(users: Users, account: str) -> Said:
    """Mostly of an account that has some already."""
    known = users.pick_id("account", lambda a: a.profiles and a.status == "ACTIVE")
    mine = known if known and users.chosen.random() < 0.7 else account
    return Said(_profile(users, mine), mine, f"profile {users.number}")


def _profile(users: Users, account: str) -> object:
    chosen, name = users.chosen, f"p{users.chosen.randrange(2)}"
    method = users.method(account) if chosen.random() < 0.6 else None
    known = users.seen.of["account"].get(account)
    skips = known.profiles if known else {}
    mine = next(iter(skips), name)
    match chosen.randrange(7) if skips or chosen.random() < 0.2 else 0:
        case 0:
            return DefineBillingProfile(name, name, 1, chosen.random() < 0.5, saved_payment_method_id=method)
        case 1:
            return UpdateBillingProfile(mine, "new", 2, is_default=chosen.random() < 0.5)
        case 2 | 3 | 4:
            return SetAutomaticPayments(mine, not skips.get(mine, False))
        case 5:
            return PlacePaymentHold("he asked")
        case _:
            return ReleasePaymentHold()


@says(2)
def standing(users: Users, account: str) -> Said:
    """An account is suspended, not for long, or is collected by hand for a while."""
    chosen, number = users.chosen, users.number
    suspended = users.pick_id("account", lambda a: a.status == "SUSPENDED")
    if suspended and chosen.random() < 0.8:
        return Said(ReactivateAccount("he explained it"), suspended, f"reactivate {number}")
    if chosen.random() < 0.5:
        return Said(SuspendAccount("a doubt"), account, f"suspend {number}")
    by_hand = users.pick_id("account", lambda a: not a.auto_collect)
    return Said(SetAutoCollect(by_hand is not None), by_hand or account, f"auto collect {number}")


@says(1)
def passing(users: Users, account: str) -> Said:
    """An account with nothing in it comes, and is closed."""
    say = users.chosen.choice((RegisterAccount("passing"), CloseAccount()))
    return Said(say, PASSING, f"passing {users.number}")


ORDERS = {
    "application_order": ("PAYMENTS_FIRST", "CREDITS_FIRST"),
    "application_rules": (
        ("MATCH_ID", "OLDEST_INVOICE"),
        ("MATCH_BALANCE", "HIGHEST_BALANCE"),
        ("MATCH_ID",),
    ),
    "offset_before_refund": ("NONE", "ACCOUNT"),
    "refund_unapply_strategy": ("FULL_THEN_REAPPLY", "PARTIAL"),
}


@says(7)
def office(users: Users, account: str) -> Said:
    """The tenant changes its mind, and its gateways: every rule below is changed in mid-stream."""
    chosen = users.chosen
    name = chosen.choice(
        (
            "production",
            *ORDERS,
            "auto_apply_payments_to_posted_invoices",
            "refund_approval_threshold",
            "application_level",
            "refund_failure_fallback",
            "convert_negative_lines",
            "apply_converted_credit_to_source_invoice",
            "auto_apply_credits_to_posted_invoices",
            "rule_based_application",
            "small_balance_write_off",
            "auto_promote_backup",
            "allow_cross_account",
            "level2_level3_data",
            "corporate_currency",
            *["gateway"] * 5,
            *["rates"] * 2,
        )
    )
    command: object
    if name == "gateway":
        command = _gateway(users)
    elif name == "rates":
        command = _rates(users)
    elif name == "corporate_currency":
        command = ChangeTenantSettings({name: chosen.choice((None, "USD", "GBP")), "rate_source": "ECB"})
    elif name == "application_level":
        command = ChangeTenantSettings({name: chosen.choice(("INVOICE", "INVOICE_LINE"))})
    elif name in ORDERS:
        command = ChangeTenantSettings({name: chosen.choice(ORDERS[name])})
    elif name == "refund_approval_threshold":
        command = ChangeTenantSettings({name: chosen.choice((None, None, money(2000, "GBP")))})
    elif name == "small_balance_write_off":
        below = chosen.choice(((), (money(600, "GBP"), money(300, "JPY"))))
        command = ChangeTenantSettings({name: below})
    elif name == "refund_failure_fallback":
        options = chosen.choice(
            (
                ("RETRY", "OTHER_PAYMENT", "OPEN_CREDIT"),
                ("UNREFERENCED", "MANUAL"),
                ("MANUAL",),
                ("OTHER_PAYMENT", "UNREFERENCED", "OPEN_CREDIT"),
            )
        )
        command = ChangeTenantSettings({name: options})
    else:
        command = ChangeTenantSettings({name: chosen.random() < 0.7})
    return Said(command, home_of(command), f"office {users.number}")


def _rates(users: Users) -> object:
    chosen = users.chosen
    rate = f"1.{chosen.randrange(100):02}"
    day = DAY + timedelta(days=chosen.randrange(-3, 3))
    return PublishExchangeRates("ECB", "USD", day, {"GBP": rate, "JPY": "0.0067"})


def _gateway(users: Users) -> object:
    chosen, known = users.chosen, users.seen.of["gw"]
    dark = next((id for id, gateway in known.items() if gateway.circuit_open_until), None)
    if dark and chosen.random() < 0.5:
        return CloseCircuit(dark)
    if STRICT in known and known[STRICT].status != "ACTIVE" and chosen.random() < 0.5:
        return ActivateGateway(STRICT)
    if STRICT in known and not known[STRICT].payments_enabled and chosen.random() < 0.5:
        return SwitchGateway(STRICT, True, True)
    match chosen.randrange(10):
        case 0:
            return DeactivateGateway(STRICT)
        case 9:
            return SwitchGateway(STRICT, chosen.random() < 0.5, chosen.random() < 0.5, "its provider says so")
        case 5:
            return OpenCircuit(chosen.choice((MAIN, STRICT)), "it does not answer", seconds=10)
        case 6:
            return CloseCircuit(STRICT)
        case 1:
            return RestrictGateway(STRICT, chosen.choice(("RESTRICTED", "RESTRICTED_SOON")))
        case 2:
            return RestrictGateway(STRICT, "REJECTED")
        case 3:
            return RotateGatewayCredential(MAIN, "env:OTHER")
        case 4:
            return PublishRawCodeMap(MAIN, {"zz_unheard_of": ("PaymentProcessing", "S")})
        case _:
            return ActivateGateway(STRICT)
