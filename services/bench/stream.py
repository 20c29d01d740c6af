"""The stream of commands that the spine is measured on, made before anything is measured.

By count, of 100: 25 invoices (8 lines, tax), 20 payments, 20 outcomes, 20 applications at line level,
5 saved methods, 5 negative invoices that start refunds, 5 rejected or repeated.  Each command says
what must become of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, count
from typing import NamedTuple
from uuid import UUID

from events import ids
from events.money import Money
from events.shapes import Outcome
from gateways.simulator.translation import CAPABILITIES
from services.accounts.account import RegisterAccount
from services.accounts.payment_method import SavePaymentMethod
from services.applications.applying import ApplyPayment
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.commands import TYPES, Actor, encode
from services.invoices.posting import Line, Original, PostInvoice, TaxLine
from services.payments.arriving import RecordPaymentOutcome
from services.payments.paying import ProcessPayment
from services.tenants.tenant_settings import ApplySettingsPreset, ChangeTenantSettings

TENANT = "bench"
ACTOR = Actor("SYSTEM", "bench")
TURNING_ACCOUNTS = 200
"""Those of `turns`: enough that each is done before its turn comes again."""
PER_HUNDRED = {"post": 25, "pay": 20, "outcome": 20, "apply": 20, "save": 5, "reduce": 5, "odd": 5}
INVOICE_MINOR, REDUCTION_MINOR = 8_800, 1_000


class Made(NamedTuple):
    """A command on its way, and the verdict that it must get."""

    key: bytes
    type: bytes
    body: bytes
    command_id: UUID
    expected: str


def made(command: object, account: str, key: str, expected: str = "ACCEPTED", short: object = None) -> Made:
    type, body = encode(
        command, tenant=TENANT, account_id=account, actor=ACTOR, idempotency_key=key, short=short
    )
    identity = ids.command_id(TENANT, TYPES[command.__class__], key)
    return Made(f"{TENANT}/{account}".encode(), type.encode(), body, identity, expected)


def setup(accounts: int) -> Iterator[Made]:
    home = ids.tenant_home
    yield made(ApplySettingsPreset("recommended"), home("settings", TENANT), "preset")
    by_hand = ChangeTenantSettings({"create_payment_schedules": False})
    yield made(by_hand, home("settings", TENANT), "by hand")
    provider = RegisterGatewayProvider("sim", "Simulator", "simulator", CAPABILITIES)
    yield made(provider, home("gateway_provider", "sim"), "provider")
    yield made(
        RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST"), home("gateway", "gw"), "gateway"
    )
    for n in range(accounts):
        yield made(RegisterAccount(f"Customer {n}"), f"A{n}", f"register {n}")
    for n in range(accounts):
        yield made(SavePaymentMethod("gw", f"tok_{n}", "card", f"card-{n}"), f"A{n}", f"card {n}")


def measured(hundreds: int, accounts: int) -> Iterator[Made]:
    """Waves of accounts, each account's hundred in the order in which a billing platform sends it."""
    for begin in range(0, hundreds, accounts):
        wave = [list(_hundred(h, h - begin)) for h in range(begin, min(begin + accounts, hundreds))]
        yield from chain.from_iterable(zip(*wave, strict=True))


ACCEPTED = sum(PER_HUNDRED.values()) - PER_HUNDRED["odd"]


def turns() -> Iterator[list[Made]]:
    """Without end: in each turn one account begins its hundred, and all under way send their next.

    From turn `ACCEPTED` on, the mix of each is that of the whole.  Nothing is rejected or repeated.
    """
    under_way = deque[Iterator[Made]](maxlen=ACCEPTED)
    for h in count():
        under_way.append(_hundred(h, h % TURNING_ACCOUNTS))
        yield [next(hundred) for hundred in under_way]


def expected_balances(hundreds: int) -> dict[str, int]:
    """What each invoice of the stream owes in the end, in minor units, by its issuer's id."""
    paid = PER_HUNDRED["apply"]
    return {
        f"{h}-{n}": 0 if n < paid else INVOICE_MINOR
        for h in range(hundreds)
        for n in range(PER_HUNDRED["post"])
    }


def _hundred(h: int, place: int) -> Iterator[Made]:
    account = f"A{place}"
    for n in range(PER_HUNDRED["post"]):
        yield made(_invoice(f"{h}-{n}"), account, f"post {h}-{n}")
    method = ids.method_id(TENANT, account, "m1", f"card-{place}")
    for n in range(PER_HUNDRED["pay"]):
        sale = ProcessPayment(Money(INVOICE_MINOR, "USD"), f"P{h}-{n}", method)
        yield made(sale, account, f"pay {h}-{n}")
    for n in range(PER_HUNDRED["outcome"]):
        outcome = Outcome("Success", gateway_ref=f"ch_{h}_{n}")
        report = RecordPaymentOutcome(f"{TENANT}:sale:P{h}-{n}:1", "GATEWAY", outcome)
        yield made(report, account, f"outcome {h}-{n}")
    for n in range(PER_HUNDRED["apply"]):
        invoice = ids.invoice_id(TENANT, f"{h}-{n}")
        application = ApplyPayment(f"P{h}-{n}", invoice, Money(INVOICE_MINOR, "USD"))
        yield made(application, account, f"apply {h}-{n}")
    for n in range(PER_HUNDRED["save"]):
        card = SavePaymentMethod("gw", f"tok_{h}_{n}", "card", f"card-{h}-{n}")
        yield made(card, account, f"save {h}-{n}")
    for n in range(PER_HUNDRED["reduce"]):
        line = Line(
            "1", Money(-REDUCTION_MINOR, "USD"), reference=Original(external_id=f"{h}-{n}", line_id="1")
        )
        yield made(PostInvoice(f"neg-{h}-{n}", "USD", (line,)), account, f"reduce {h}-{n}")
    for n in range(PER_HUNDRED["odd"]):
        repeated = n % 2 == 0
        key = f"post {h}-{n}" if repeated else f"again {h}-{n}"
        yield made(_invoice(f"{h}-{n}"), account, key, "ACCEPTED" if repeated else "REJECTED")


def _invoice(external_id: str) -> PostInvoice:
    lines = tuple(
        Line(str(n), Money(1_000, "USD"), (TaxLine(Money(100, "USD"), "VAT", rate="10"),)) for n in range(8)
    )
    return PostInvoice(external_id, "USD", lines)
