"""Applying by rules: what an account holds settles what it owes, in the order that the tenant has set.

Invariant: one account, one currency, nothing that is locked; a rule goes over every source,
oldest first, before the next rule begins, and each sees what the ones before have left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from events.account import ApplicationRulesRun
from services.accounts import account
from services.accounts.account import Account
from services.applications import application
from services.applications.application import Source, Why
from services.commands import command
from services.credits import credit_memo as memos
from services.credits import writing_off
from services.credits.credit_memo import CreditMemo
from services.decision import Changes, Context, Documents, Draft, Need, Needs, Rule, States
from services.errors import Rejected
from services.invoices import invoice as invoices
from services.invoices.invoice import Invoice
from services.payments import payment as payments
from services.payments.payment import Payment
from services.tenants import tenant_settings
from services.tenants.tenant_settings import TenantSettings

INVOICES_MAX = 2_000
"""With more invoices than these, only the first rule runs: Salesforce's own limit."""

_EVOLVE = {
    Invoice: invoices.evolve,
    Payment: payments.evolve,
    CreditMemo: memos.evolve,
    Account: account.evolve,
}
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@command("payments.account.apply_by_rules.v1")
class ApplyByRules:
    """Settle what the account owes with what it holds, by the tenant's rules (`application_rules`).

    With a `target_date`, only invoices that were posted on that day or after it are settled.
    """

    target_date: date | None = None
    """Only invoices that were posted on this day or later; without it, all that are owed."""


def needed(states: States, context: Context) -> Needs:
    """Everything that is open on the account."""
    yield account.needed(context)
    yield Documents(context.account_id)
    for kind in (Invoice, Payment, CreditMemo):
        for id in states.find_documents(context.account_id, kind):
            yield Need(kind, id)


def _needs(states: States, command: ApplyByRules, context: Context) -> Needs:
    yield tenant_settings.needed(context)
    yield from needed(states, context)
    yield from writing_off.small_needed(states, context)


def apply_by_rules(states: States, command: ApplyByRules, context: Context) -> Changes:
    account.of(states, context)
    settings = tenant_settings.of(states, context)
    if not settings["application_rules"]:
        raise Rejected("MALFORMED_REQUEST", "the tenant has set no application_rules", field="data")
    draft = Draft(states, _EVOLVE)
    run(draft, states, settings, context, since=command.target_date)
    return writing_off.with_small_balances(states, draft.changes, context)


def run(
    draft: Draft,
    states: States,
    settings: TenantSettings,
    context: Context,
    *,
    also: Sequence[str] = (),
    since: date | None = None,
) -> None:
    """Apply, and say what was done; nothing is said where nothing was to do.

    `also` names invoices that this very decision posts, and that no list has yet.
    """
    ids = dict.fromkeys([*states.documents(context.account_id, Invoice), *also])
    owed = [invoice for id in ids if _owes(invoice := draft.get(Invoice, id), since)]
    free = [invoice.invoice_id for invoice in owed if invoice.locked_by is None]
    sources = list(_sources(draft, states, settings["application_order"], context))
    rules: tuple[str, ...] = settings["application_rules"]
    rules = rules if len(owed) <= INVOICES_MAX else rules[:1]
    applying = _Applying(draft, free, settings["application_level"], context)
    for rule in rules:
        for kind, id in sources:
            applying.by(rule, kind, id)
    locked = tuple(sorted(invoice.invoice_id for invoice in owed if invoice.locked_by is not None))
    if applying.counts or (locked and sources):
        told = _summary(applying, rules, sources, len(owed), locked, settings)
        draft.record(Account, context.account_id, told)


def _owes(invoice: Invoice, since: date | None) -> bool:
    posted = invoice.posted_at
    in_time = since is None or (posted is not None and posted.date() >= since)
    return invoice.status == "POSTED" and invoice.balance > 0 and in_time


def _sources(draft: Draft, states: States, order: str, context: Context) -> Iterable[tuple[type[Any], str]]:
    """The account's free money: one kind after the other, each oldest first."""
    held: list[list[tuple[type[Any], str]]] = []
    for kind in (Payment, CreditMemo):
        of_kind = [draft.get(kind, id) for id in states.documents(context.account_id, kind)]
        usable = [source for source in of_kind if application.free(source) > 0]
        held.append([(kind, _id(source)) for source in sorted(usable, key=_age)])
    for of_kind in held if order == "PAYMENTS_FIRST" else reversed(held):
        yield from of_kind


def _id(source: Source) -> str:
    return source.credit_memo_id if isinstance(source, CreditMemo) else source.payment_id


def _age(source: Source) -> tuple[datetime, str]:
    since = source.posted_at if isinstance(source, CreditMemo) else source.requested_at
    return since or _LONG_AGO, _id(source)


def _meant_for(source: Source) -> list[str]:
    """The invoices that a source names: a memo's reference, a payment's intention."""
    if isinstance(source, CreditMemo):
        return [source.reference_invoice_id] if source.reference_invoice_id else []
    return [intended.invoice_id for intended in source.intended]


@dataclass
class _Applying:
    """The invoices of one run, and what was applied to them so far."""

    draft: Draft
    invoice_ids: list[str]
    level: str
    context: Context
    counts: dict[type[Any], int] = field(default_factory=dict[type[Any], int])

    def by(self, rule: str, kind: type[Any], id: str) -> None:
        """Let one source settle what one rule finds for it, until either is used up."""
        while True:
            source = self.draft.get(kind, id)
            found = _RULES[rule](source, list(self._owed(source))) if application.free(source) > 0 else None
            if found is None:
                return
            self._apply(source, found, rule)

    def _owed(self, source: Source) -> Iterable[Invoice]:
        for id in self.invoice_ids:
            invoice = self.draft.get(Invoice, id)
            if application.takes(invoice, source, self.level):
                yield invoice

    def _apply(self, source: Source, invoice: Invoice, rule: str) -> None:
        kind, amount = type(source), min(application.free(source), invoice.balance)
        why, part = Why(self.context.now, "RULE", comments=rule), f"{rule}/"
        application.apply(
            self.draft, kind, _id(source), invoice.invoice_id, amount, self.level, why, self.context, part
        )
        self.counts[kind] = self.counts.get(kind, 0) + 1


def _match_id(source: Source, owed: Sequence[Invoice]) -> Invoice | None:
    by_id = {invoice.invoice_id: invoice for invoice in owed}
    return next((by_id[id] for id in _meant_for(source) if id in by_id), None)


def _match_balance(source: Source, owed: Sequence[Invoice]) -> Invoice | None:
    equal = [invoice for invoice in owed if invoice.balance == application.free(source)]
    return min(equal, key=lambda invoice: (invoice.due_date or date.max, invoice.invoice_id), default=None)


def _oldest(source: Source, owed: Sequence[Invoice]) -> Invoice | None:
    return min(owed, key=lambda invoice: (invoice.posted_at or _LONG_AGO, invoice.invoice_id), default=None)


def _highest(source: Source, owed: Sequence[Invoice]) -> Invoice | None:
    return max(owed, key=lambda invoice: (invoice.balance, invoice.invoice_id), default=None)


_RULES: dict[str, Callable[[Source, Sequence[Invoice]], Invoice | None]] = {
    "MATCH_ID": _match_id,
    "MATCH_BALANCE": _match_balance,
    "OLDEST_INVOICE": _oldest,
    "HIGHEST_BALANCE": _highest,
}
assert set(_RULES) == set(tenant_settings.APPLICATION_RULES)


def _summary(
    applying: _Applying,
    rules: Sequence[str],
    sources: Sequence[tuple[type[Any], str]],
    invoices_fetched: int,
    locked: tuple[str, ...],
    settings: TenantSettings,
) -> ApplicationRulesRun:
    return ApplicationRulesRun(
        rules=tuple(rules),
        payment_applications=applying.counts.get(Payment, 0),
        credit_applications=applying.counts.get(CreditMemo, 0),
        payments_fetched=sum(kind is Payment for kind, _ in sources),
        credits_fetched=sum(kind is CreditMemo for kind, _ in sources),
        invoices_fetched=invoices_fetched,
        all_considered=tuple(rules) == tuple(settings["application_rules"]),
        locked_invoices=locked[:100],
    )


RULES = (Rule(ApplyByRules, _needs, apply_by_rules),)
