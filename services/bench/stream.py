"""The stream of commands that the spine is measured on, made before anything is measured.

By count, of 100: 25 invoices (8 lines, tax), 20 payments, 20 outcomes, 20 applications at line level,
5 saved methods, 5 negative invoices that start refunds, 5 rejected or repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from events import ids
from events.money import Money
from events.shapes import Outcome
from gateways.simulator.translation import CAPABILITIES
from services.account import RegisterAccount
from services.applying import ApplyPayment
from services.commands import Actor, encode
from services.gateway import RegisterGateway, RegisterGatewayProvider
from services.paying import ProcessPayment, RecordPaymentOutcome
from services.payment_method import SavePaymentMethod
from services.posting import Line, Original, PostInvoice, TaxLine
from services.tenant_settings import ApplySettingsPreset

TENANT = "bench"
ACTOR = Actor("SYSTEM", "bench")
PER_HUNDRED = {"post": 25, "pay": 20, "outcome": 20, "apply": 20, "save": 5, "reduce": 5, "odd": 5}


class Made(NamedTuple):
    key: bytes
    type: bytes
    body: bytes


def made(command: object, account: str, key: str) -> Made:
    type, body = encode(command, tenant=TENANT, account_id=account, actor=ACTOR, idempotency_key=key)
    return Made(f"{TENANT}/{account}".encode(), type.encode(), body)


def setup(accounts: int) -> Iterator[Made]:
    home = ids.tenant_home
    yield made(ApplySettingsPreset("recommended"), home("settings", TENANT), "preset")
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
    """In the order in which a billing platform would send them."""
    for h in range(hundreds):
        account = f"A{h % accounts}"
        for n in range(PER_HUNDRED["post"]):
            yield made(_invoice(f"{h}-{n}"), account, f"post {h}-{n}")
        method = ids.method_id(TENANT, account, "m1", f"card-{h % accounts}")
        for n in range(PER_HUNDRED["pay"]):
            sale = ProcessPayment(Money(8_800, "USD"), f"P{h}-{n}", method)
            yield made(sale, account, f"pay {h}-{n}")
        for n in range(PER_HUNDRED["outcome"]):
            outcome = Outcome("Success", gateway_ref=f"ch_{h}_{n}")
            report = RecordPaymentOutcome(f"{TENANT}:sale:P{h}-{n}:1", "GATEWAY", outcome)
            yield made(report, account, f"outcome {h}-{n}")
        for n in range(PER_HUNDRED["apply"]):
            application = ApplyPayment(f"P{h}-{n}", ids.invoice_id(TENANT, f"{h}-{n}"), Money(8_800, "USD"))
            yield made(application, account, f"apply {h}-{n}")
        for n in range(PER_HUNDRED["save"]):
            card = SavePaymentMethod("gw", f"tok_{h}_{n}", "card", f"card-{h}-{n}")
            yield made(card, account, f"save {h}-{n}")
        for n in range(PER_HUNDRED["reduce"]):
            line = Line("1", Money(-1_000, "USD"), reference=Original(external_id=f"{h}-{n}", line_id="1"))
            yield made(PostInvoice(f"neg-{h}-{n}", "USD", (line,)), account, f"reduce {h}-{n}")
        for n in range(PER_HUNDRED["odd"]):
            repeated = n % 2 == 0
            command = _invoice(f"{h}-{n}")
            yield made(command, account, f"post {h}-{n}" if repeated else f"again {h}-{n}")


def _invoice(external_id: str) -> PostInvoice:
    lines = tuple(
        Line(str(n), Money(1_000, "USD"), (TaxLine(Money(100, "USD"), "VAT", rate="10"),)) for n in range(8)
    )
    return PostInvoice(external_id, "USD", lines)
