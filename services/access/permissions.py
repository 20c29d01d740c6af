"""Who may do what: roles against capabilities, one cell each.  What no cell grants is denied.

A command belongs to the one capability that names it; a read model may serve several, and whoever has
one of them may read it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal

ROLES: tuple[str, ...] = (
    "PAYMENT_ADMIN", "PAYMENT_OPERATIONS", "BILLING_ADMIN", "CREDIT_MEMO_OPERATIONS", "BILLING_OPERATIONS",
    "COLLECTIONS", "PORTAL", "READ_ONLY", "SYSTEM", "OPERATOR",
)  # fmt: skip
"""In the order of the table's columns.  SYSTEM is Tender itself, for whom nobody outside can pass; OPERATOR
is who runs it, and whomever he lets do everything."""

GIVEN = frozenset(ROLES) - {"SYSTEM"}
"""Those that a person or a program outside can have."""

ANY = ("*",)


@dataclass(frozen=True)
class Cell:
    """What a role may do with a capability."""

    said: str
    reads: bool = False
    sends: tuple[str, ...] = ()
    """Patterns of the commands, among the capability's own; `*`: all of them."""
    own: bool = False
    """Only on accounts that were given to it by name."""
    own_area: bool = False
    """Only of what its other cells let it read."""
    hides: Literal[0, 1, 2] = 0
    """What is left out of what it reads: 1, gateways' own words; 2, tokens and references, too."""
    by_memo: bool = False
    """Only what a credit memo has led to."""
    second_person: bool = False
    """Above the tenant's threshold, somebody else must say the same before it is so."""


CELLS = {
    cell.said: cell
    for cell in (
        Cell("-"),
        Cell("W", reads=True, sends=ANY),
        Cell("R", reads=True, hides=1),
        Cell("R full", reads=True),
        Cell("R masked", reads=True, hides=2),
        Cell("R (display)", reads=True, hides=2),
        Cell("R (no secrets)", reads=True, hides=2),
        Cell("R own area", reads=True, own_area=True, hides=2),
        Cell("R own", reads=True, own=True, hides=2),
        Cell("own", reads=True, sends=ANY, own=True, hides=2),
        Cell("sale on own invoices", reads=True, sends=("payment.process",), own=True, hides=2),
        Cell("open, pay", reads=True, sends=("*.open", "*.pay"), own=True, hides=2),
        Cell("W (promises)", reads=True, sends=("promise.*",)),
        Cell("W (memo driven)", reads=True, sends=("refund.apply",), by_memo=True),
        Cell("W (second person above threshold)", reads=True, sends=ANY, second_person=True),
        Cell("post, void", reads=True, sends=("*.post", "*.void"), hides=1),
        Cell("write off", reads=True, sends=("*.write_off", "*.write_off_*", "*.reverse_write_off"), hides=1),
    )
}


@dataclass(frozen=True)
class Capability:
    """A row of the table."""

    said: str
    cells: Mapping[str, Cell]
    commands: tuple[str, ...] = ()
    """Patterns of its commands, without `payments.` and the version; the longest pattern of all wins."""
    reads: tuple[str, ...] = ()
    """Read models, by the names of their queries."""
    payment_data: bool = False
    """Its rows follow the access to their account only where `share_payment_data_by_account` is on."""
    methods: bool = False
    """It is about saved methods, which follow their merchant account for who manages them."""
    added: bool = False
    """A row of ours, beside those that follow Salesforce's personas."""


def _row(
    said: str,
    cells: str,
    commands: str = "",
    reads: str = "",
    *,
    payment_data: bool = False,
    methods: bool = False,
    added: bool = False,
) -> Capability:
    """`cells`: of every role but OPERATOR, who may do everything."""
    each = [cell.strip() for cell in cells.split("|")] + ["W"]
    given = dict(zip(ROLES, [CELLS[cell] for cell in each], strict=True))
    return Capability(
        said, given, tuple(commands.split()), tuple(reads.split()), payment_data, methods, added
    )


CAPABILITIES: tuple[Capability, ...] = (
    _row(
        "Gateways, credentials, code maps",
        "W | R | R | - | - | - | - | R (no secrets) | -",
        "gateway.* gateway_provider.*",
        "gateways",
    ),
    _row(
        "Tenant payment settings",
        "W | R | W | R | R | - | - | R | -",
        "tenant_settings.*",
        "tenant-settings",
    ),
    _row(
        "Schedule policies, treatments",
        "W | R | R | - | R | - | - | R | -",
        "schedule_policy.* payment_schedule_policy.* payment_schedule_treatment.*",
        "schedule-policies",
    ),
    _row(
        "Retry rule sets",
        "W | R | W | - | - | R | - | R | -",
        "retry_rule_set.*",
        "retry-rule-sets retry-groups rule-match network-caps retry-simulation",
    ),
    _row(
        "Saved methods: create, default, delete",
        "W | W | R | R (display) | - | R (display) | own | R (display) | -",
        "payment_method.* account.set_default_payment_method account.clear_default_payment_method "
        "account.reorder_payment_methods",
        "payment-methods",
        payment_data=True,
        methods=True,
    ),
    _row(
        "Token import",
        "W | W | - | - | - | - | - | - | -",
        "token_migration.* payment_method.import",
        "token-migrations token-migration-rows",
    ),
    _row(
        "Schedules, items, promises",
        "W | W | R | - | R | W (promises) | - | R | W",
        "payment_schedule.* payment_schedule_item.* promise.*",
        "payment-schedules schedule-items promises retry-queue failed-collections collection-performance "
        "recovery "
        "collections-forecast",
    ),
    _row(
        "Schedulers, batch runs",
        "W | W | R | - | R | R | - | R | W",
        "payment_scheduler.* payment_batch_run.*",
        "payment-schedulers next-runs payment-batch-runs payment-batch-run-items",
    ),
    _row(
        "Authorize, capture, reverse, sale",
        "W | W | - | - | - | - | sale on own invoices | R | W",
        "authorization.* payment.* payment_group.*",
        "payments unapplied-cash authorizations",
        payment_data=True,
    ),
    _row(
        "Record external payment",
        "W | W | - | - | - | - | - | R | -",
        "payment.record_external authorization.record_external refund.record_external",
        "payments unapplied-cash",
        payment_data=True,
    ),
    _row(
        "Apply and unapply payments",
        "W | W | - | - | - | - | - | R | W",
        "payment.apply payment.unapply payment.auto_apply payment.allocate payment.move_applications "
        "payment.transfer_unapplied_balance payment.recall_transfer account.apply_by_rules",
        "payments unapplied-cash",
        payment_data=True,
    ),
    _row(
        "Issue referenced refund",
        "W | W | W | W (memo driven) | - | - | - | R | W",
        "refund.issue refund.apply refund.cancel",
        "payments refunds",
        payment_data=True,
    ),
    _row(
        "Issue unreferenced refund",
        "W | W | - | - | - | - | - | R | -",
        "refund.issue_unreferenced",
        "credit-memos open-credits refunds",
        payment_data=True,
    ),
    _row(
        "Approve refund above threshold",
        "W | - | W | - | - | - | - | - | -",
        "refund.approve refund.reject",
        "refunds",
        payment_data=True,
    ),
    _row(
        "Automate refund, choose fallback",
        "W | - | W | W | - | - | - | R | W",
        "refund_orchestration.*",
        "refund-orchestrations refunds credit-memos",
    ),
    _row(
        "Credit memos: create, post, apply, unapply, void",
        "- | - | W | W | post, void | - | - | R | W",
        "credit_memo.* debit_memo.* invoice.credit invoice.convert_negative_lines",
        "credit-memos open-credits debit-memos",
    ),
    _row(
        "Post, void, write off invoices",
        "- | - | W | write off | W | - | - | R | W",
        "invoice.*",
    ),
    _row(
        "Resolve unknown outcomes",
        "W | W (second person above threshold) | - | - | - | - | - | R | W",
        "payment.resolve_outcome refund.resolve_outcome authorization.resolve_review",
        "payments refunds authorizations",
        payment_data=True,
    ),
    _row(
        "Gateway log",
        "R full | R | R | - | - | - | - | R masked | -",
        reads="gateway-log notifications",
        payment_data=True,
    ),
    _row(
        "Event history, timeline, exports",
        "R | R | R | R own area | R own area | R own area | own | R | -",
        reads="timeline explain why-balance why-payment why-next-attempt events",
    ),
    # -- ours
    _row(
        "Check out: post an invoice and take its money",
        "W | - | W | - | - | - | - | - | -",
        "invoice.checkout",
        added=True,
    ),
    _row(
        "See accounts, invoices, balances",
        "R | R | R | R | R | R | R own | R | -",
        reads="accounts account-balances invoices invoice-settlements statement",
        added=True,
    ),
    _row(
        "Accounts: register, profiles, holds, close",
        "W | W | W | - | W | - | - | R | W",
        "account.*",
        added=True,
    ),
    _row(
        "Payment links",
        "W | W | R | - | R | R | open, pay | R | W",
        "payment_link.*",
        "payment-links",
        added=True,
    ),
    _row(
        "Accounting periods",
        "R | R | W | R | R | - | - | R | -",
        "accounting_period.*",
        "accounting-periods",
        added=True,
    ),
    _row(
        "Exchange rates",
        "R | R | W | R | R | - | - | R | -",
        "exchange_rates.*",
        "exchange-rates",
        added=True,
    ),
    _row(
        "Erase personal data",
        "W | - | W | - | - | - | - | - | -",
        "account.erase_personal_data",
        added=True,
    ),
    _row(
        "Disputes, returns, overdrafts",
        "W | W | R | - | - | - | - | R | W",
        "dispute.* payment.record_return payment.write_off_overdraft",
        "disputes",
        added=True,
    ),
    _row(
        "Exceptions, and news of gateways that nobody could read",
        "W | W | W | W | - | - | - | R | W",
        "exception.* notification.replay notification.resolve",
        "exceptions",
        added=True,
    ),
    _row(
        "Open and close a gateway's circuit",
        "W | W | - | - | - | - | - | - | W",
        "gateway.open_circuit gateway.close_circuit",
        added=True,
    ),
    _row(
        "Settlement reports, payouts, bank lines",
        "W | W | R | - | - | - | - | R | W",
        "settlement_report.* payout.* bank_line.*",
        "settlement-reports payouts payout-lines unmatched-payout-lines bank-lines",
        added=True,
    ),
    _row(
        "Ledger, cash flow",
        "R | R | R | - | R | - | - | R | -",
        reads="ledger-entries ledger-balances cash-flow corporate-cash-flow",
        added=True,
    ),
    _row(
        "API keys, denials",
        "- | - | - | - | - | - | - | - | -",
        "api_key.create api_key.revoke",
        "api-keys denials",
        added=True,
    ),
    _row(
        "Tender's own steps",
        "- | - | - | - | - | - | - | - | W",
        "payment.record_outcome refund.record_outcome authorization.record_outcome "
        "authorization.record_reversal_outcome authorization.expire payment_method.expire "
        "payment.receive_transfer payment.expire_transfer payment.give_transfer_back "
        "payment_link.keep_method "
        "payment.record_transfer_outcome payment_method.record_tokenization_outcome "
        "account.promote_backup_payment_method payout.settle_line notification.* access.* api_key.record_use "
        "payment_scheduler.fire payment_batch_run.select_items payment_batch_run.record_results "
        "payment_batch_run.check payment_batch_run.fail",
        added=True,
    ),
)


def short(type: str) -> str:
    """`payments.refund.issue.v1` as patterns name it: `refund.issue`."""
    return type.removeprefix("payments.").rpartition(".v")[0]


@cache
def capability_of(type: str) -> Capability | None:
    """The one that a command belongs to: that with the most exact pattern.  None: nobody may send it."""
    name = short(type)
    fitting = [
        (len(pattern.rstrip("*")), "*" not in pattern, capability)
        for capability in CAPABILITIES
        for pattern in capability.commands
        if fnmatchcase(name, pattern)
    ]
    return max(fitting, key=lambda each: each[:2])[2] if fitting else None


@cache
def sending(roles: tuple[str, ...], type: str) -> tuple[Cell, ...]:
    """The cells by which somebody with these roles may send a command; none: he may not."""
    capability, name = capability_of(type), short(type)
    if capability is None:
        return ()
    cells = (capability.cells[role] for role in roles if role in capability.cells)
    return tuple(cell for cell in cells if any(fnmatchcase(name, pattern) for pattern in cell.sends))


@cache
def reading(roles: tuple[str, ...], query: str) -> tuple[Cell, ...]:
    """The cells by which somebody with these roles may read; none: he may not."""
    return tuple(
        capability.cells[role]
        for capability in CAPABILITIES
        if query in capability.reads
        for role in roles
        if role in capability.cells and capability.cells[role].reads
    )


def least(cells: Collection[Cell]) -> int:
    """How much is hidden from somebody who reads by any of these cells."""
    return min((cell.hides for cell in cells), default=2)


def unknown(roles: Collection[str]) -> Iterator[str]:
    """Those of some roles that nobody can be given."""
    return (role for role in roles if role not in GIVEN)
