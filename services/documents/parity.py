"""What somebody who knows Salesforce's payment resources looks for here: theirs, and our command or question.

It is made from the commands and questions that there are, and committed beside the contracts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from projections.queries import QUERIES
from services.commands import COMMANDS
from services.documents.permissions_page import ALSO
from services.signing_in.seeing import HISTORY


class Row(NamedTuple):
    theirs: str
    commands: tuple[str, ...] = ()
    """By the names of their classes."""
    questions: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    note: str = ""


def _row(theirs: str, commands: str = "", questions: str = "", paths: str = "", note: str = "") -> Row:
    return Row(theirs, tuple(commands.split()), tuple(questions.split()), tuple(paths.split()), note)


ROWS: tuple[Row, ...] = (
    _row("POST payment-methods (tokenize)", "TokenizePaymentMethod"),
    _row("POST sales", "ProcessPayment"),
    _row("POST authorizations", "AuthorizePayment"),
    _row("POST authorizations/{id}/captures", "CapturePayment"),
    _row("POST authorizations/{id}/reversals", "ReverseAuthorization"),
    _row("POST postAuths", "PostAuthorize"),
    _row("POST payments/{id}/refunds", "IssueRefund"),
    _row("POST payment-schedulers", "CreatePaymentScheduler"),
    _row("PATCH payment-schedulers/{id} (status)", "UpdatePaymentScheduler"),
    _row("POST payments/{id}/actions/apply", "ApplyPayment"),
    _row("POST paymentlines/{id}/actions/unapply", "UnapplyPayment"),
    _row("POST refunds/{id}/actions/apply", "ApplyRefund"),
    _row("POST credit-memos/{id}/actions/apply", "ApplyCreditMemo"),
    _row("POST credit-memo-inv-applications/{id}/actions/unapply", "UnapplyCreditMemo"),
    _row("the same, line by line", "ApplyCreditMemoLine UnapplyCreditMemoLine"),
    _row("POST credit-memos/actions/generate", "CreateCreditMemo"),
    _row("POST invoices/{id}/actions/credit", "CreditInvoice"),
    _row("POST credit-memos/{id}/actions/post", "PostCreditMemo"),
    _row("POST credit-memos/{id}/actions/void", "VoidCreditMemo"),
    _row("POST invoices/{id}/actions/convert-to-credit", "ConvertNegativeInvoice"),
    _row("POST invoices/{id}/actions/void", "VoidInvoice"),
    _row("POST invoices/{id}/actions/write-off", "WriteOffInvoice"),
    _row("action automateRefund", "AutomateRefund", "refund-orchestrations", note="its status URL"),
    _row("action applyPaymentsAndCreditsByRules", "ApplyByRules"),
    _row("POST unreferenced-refunds/actions/process", "IssueUnreferencedRefund"),
    _row("POST invoices/collection/actions/checkout", "Checkout", note="`dry_run` previews"),
    _row("POST payments/notify?provider=…", paths="/v1/{tenant}/gateways/{gateway_id}/notifications"),
    _row("saved methods: create", "SavePaymentMethod", "payment-methods"),
    _row(
        "saved methods: bulk CSV",
        "CreateTokenMigration ImportRows ImportTokenizedPaymentMethod",
        "token-migrations token-migration-rows",
        note="`tender import-methods`",
    ),
    _row("Generate account statement", questions="statement"),
)


def types() -> dict[str, str]:
    """The name of every command's class, to its type."""
    return {known.cls.__name__: type for type, known in COMMANDS.items()}


def questions() -> frozenset[str]:
    return frozenset({*QUERIES, *HISTORY, *ALSO})


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Where to find what Salesforce has"
    yield ""
    yield "Made from the code by `tender contracts`; do not edit."
    yield ""
    yield "| Salesforce | Tender |"
    yield "|---|---|"
    for row in ROWS:
        ours = [*map(_command, row.commands), *map(_question, row.questions), *map(_path, row.paths)]
        yield f"| {row.theirs} | {'; '.join([*ours, *([row.note] if row.note else [])])} |"


def _command(name: str) -> str:
    type = types()[name]
    return f"[`{type}`](commands/{type}.json)"


def _question(name: str) -> str:
    return f"the question `{name}`"


def _path(path: str) -> str:
    return f"POST `{path}`"
