"""The steps of an invoice's money, said shortly: for tests that read like the worked examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from events import ids
from events.gateway import Capabilities
from events.money import Money, minor
from events.shapes import Outcome
from services.accounts.account import RegisterAccount
from services.accounts.payment_method import SavePaymentMethod
from services.applications.applying import ApplyPayment
from services.calls.calling import GatewayCall
from services.calls.gateway import RegisterGateway
from services.calls.provider import RegisterGatewayProvider
from services.invoices.invoice import Invoice
from services.invoices.posting import Line, Original, PostInvoice, TaxLine
from services.payments.arriving import RecordPaymentOutcome
from services.payments.external import RecordExternalPayment
from services.payments.paying import ApplyTo, ProcessPayment
from services.payments.payment import Payment
from services.processes.process import Process, Send, Trigger
from services.refunds.refund import Refund
from services.refunds.refund_outcomes import RecordRefundOutcome
from services.store.protocol import Batch
from services.subjects import PROCESSES
from services.tenants.tenant_settings import ApplySettingsPreset, ChangeTenantSettings
from tests.spec import Spec

EVERYTHING = Capabilities(
    operations=("AUTHORIZE", "CAPTURE", "SALE", "REVERSE", "VOID", "REFUND", "UNREFERENCED_REFUND"),
    read_your_writes_seconds=None,
)
SUCCESS = Outcome("Success", gateway_ref="ch_1", gateway_date=datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
CARD_CLOSED = Outcome("PermanentFail", category="PaymentProcessing", raw_code="account_closed", hard=True)
SOFT = Outcome("Decline", category="CardLimit", raw_code="insufficient_funds")


def money(amount: str | int, currency: str = "USD") -> Money:
    return Money(minor(str(amount), currency), currency)


def line(
    id: str, charge: str | int, tax: str | int = 0, currency: str = "USD", of: tuple[str, str] | None = None
) -> Line:
    taxes = (TaxLine(money(tax, currency)),) if str(tax) != "0" else ()
    reference = Original(external_id=of[0], line_id=of[1]) if of else None
    return Line(id, money(charge, currency), taxes, reference=reference)


class Journey(Spec):
    """A tenant with one gateway, one account and one card on file; figures are in major units."""

    def __init__(
        self, preset: str = "bare", capabilities: Capabilities = EVERYTHING, **settings: Any
    ) -> None:
        super().__init__()
        self.currency = "USD"
        self._reacted = 0
        self.calls: dict[str, str] = {}
        self.when(RegisterGatewayProvider("sim", "Simulator", "simulator", capabilities)).then_accepted()
        self.when(RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST")).then_accepted()
        self.when(RegisterAccount("Ada")).then_accepted()
        self.when(ApplySettingsPreset(preset))  # type: ignore[arg-type]
        if preset == "recommended":  # money is moved by hand here, unless a test says otherwise
            settings = {"create_payment_schedules": False, **settings}
        if settings:
            self.when(ChangeTenantSettings(settings)).then_accepted()
        self.card_a = self.card("tok_a")
        self.card_b = self.card("tok_b")

    def card(self, token: str) -> str:
        self.when(SavePaymentMethod("gw", token, "card", last4="4242")).then_accepted()
        from services.accounts.payment_method import SavedMethod

        return self.last_id(SavedMethod)

    def post(self, external_id: str, *lines: Line, original: str | None = None, **more: Any) -> str:
        """Post an invoice; its id."""
        currency = lines[0].charge.currency
        command = PostInvoice(external_id, currency, tuple(lines), original_external_id=original, **more)
        self.when(command).then_accepted()
        return ids.invoice_id(self.tenant, external_id)

    def pay(
        self,
        payment_id: str,
        amount: str | int,
        invoice: str | None = None,
        method: str | None = None,
        currency: str = "USD",
    ) -> str:
        """A sale that succeeds, applied to an invoice if one is named."""
        self.request(payment_id, amount, invoice, method, currency)
        self.settle(payment_id, SUCCESS)
        return payment_id

    def request(
        self,
        payment_id: str,
        amount: str | int,
        invoice: str | None = None,
        method: str | None = None,
        currency: str = "USD",
    ) -> str:
        apply_to = (ApplyTo(invoice, money(amount, currency)),) if invoice else ()
        command = ProcessPayment(
            money(amount, currency), payment_id=payment_id, method_id=method or self.card_a, apply_to=apply_to
        )
        self.when(command).then_accepted()
        return payment_id

    def settle(self, payment_id: str, outcome: Outcome, source: str = "GATEWAY", **more: Any) -> Journey:
        key = self.state(Payment, payment_id).operation_key
        self.when(RecordPaymentOutcome(key, source, outcome, **more))  # type: ignore[arg-type]
        return self

    def cheque(self, payment_id: str, amount: str | int, invoice: str) -> None:
        command = RecordExternalPayment(
            money(amount),
            "CHECK",
            "cheque 17",
            self.time.date(),
            payment_id,
            (ApplyTo(invoice, money(amount)),),
        )
        self.when(command).then_accepted()

    def apply(
        self, payment_id: str, invoice: str, amount: str | int, line_id: str | None = None, **more: Any
    ) -> Journey:
        self.when(ApplyPayment(payment_id, invoice, money(amount, **more), line_id))
        return self

    def answer_refund(self, refund_id: str, outcome: Outcome, source: str = "GATEWAY") -> Journey:
        key = self.state(Refund, refund_id).operation_key
        self.when(RecordRefundOutcome(key, source, outcome)).then_accepted()  # type: ignore[arg-type]
        return self

    def run_processes(self) -> list[object]:
        """Let every process react to what was recorded since, until nothing new is due; what was sent."""
        sent: list[object] = []
        while new := self._run(self.store.read(self._reacted, 1_000_000)):
            self._reacted = new[-1].position
            for _, events in groupby(new, lambda event: event.command_id):
                sent += self._react(list(events))
        return sent

    def _react(self, events: Iterable[Any]) -> list[object]:
        """To what one command did."""
        sent, gathered = list[object](), dict[str, tuple[Any, list[Send]]]()
        for event in events:
            for process, sends in self._reactions(event):
                if process.merge is None:
                    sent += self._let_go(sends)
                else:
                    gathered.setdefault(process.name, (process.merge, []))[1].extend(sends)
        for merge, sends in gathered.values():
            sent += self._let_go(merge(sends))
        return sent

    def _reactions(self, event: Any) -> Iterable[tuple[Process, list[Send]]]:
        from events.mapper import decode

        fact = decode(event.topic, event.data)
        for process in PROCESSES:
            if isinstance(fact, process.facts):
                tenant, _, id = ids.parts(event.stream)
                account = event.home.partition("/")[2]
                trigger = Trigger(tenant, account, id, fact, event.occurred_at, event.version)
                yield process, self._run(self._sends(process, trigger))

    def _let_go(self, sends: Iterable[Send]) -> list[object]:
        """Send what is due; the rest waits for `run_due`."""
        sent: list[object] = []
        for send in sends:
            if send.due_at is None or send.due_at <= self.time:
                self.when(send.command, account=send.account_id, key=send.key)
                sent.append(send.command)
            else:
                self.later.append(send)
        return sent

    @property
    def later(self) -> list[Any]:
        if not hasattr(self, "_later"):
            self._later: list[Any] = []
        return self._later

    def run_due(self) -> list[object]:
        """Send the delayed commands that are due by now."""
        due = [send for send in self.later if send.due_at <= self.time]
        self._later = [send for send in self.later if send.due_at > self.time]
        for send in due:
            self.when(send.command, account=send.account_id, key=send.key)
        return [send.command for send in due]

    async def _sends(self, process: Any, trigger: Trigger) -> list[Any]:
        from services.process_runner import reactions

        await self.handler.cache.catch_up()
        [sent] = await reactions([(process, trigger)], self.handler.cache)
        return sent

    def balances(self, invoice: str) -> dict[str, Any]:
        """An invoice in major units: lines, balance, status."""
        state = self.state(Invoice, invoice)
        lines = {id: _major(line.balance, state.currency) for id, line in state.lines.items()}
        return {
            "balance": _major(state.balance, state.currency),
            "status": state.settlement_status,
            "lines": lines,
        }

    def payment(self, id: str) -> dict[str, str]:
        state = self.state(Payment, id)
        names = ("applied", "unapplied", "refunded", "refund_reserved")
        return {"status": state.status} | {
            name: _major(getattr(state, name), state.currency) for name in names
        }

    def refunds(self) -> list[Any]:
        return [self.state(Refund, id) for id in self.ids(Refund)]

    def call_of(self, payment_id: str) -> Any:
        return self.state(GatewayCall, self.state(Payment, payment_id).operation_key)


def _major(amount: int, currency: str) -> str:
    from events.money import major

    return f"{major(amount, currency):f}"


__all__ = ["CARD_CLOSED", "SOFT", "SUCCESS", "Batch", "Journey", "Sequence", "line", "money"]
