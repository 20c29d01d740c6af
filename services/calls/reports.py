"""Which command tells of which operation: the same for a gateway's answer, its news, and an inquiry."""

from __future__ import annotations

from services.accounts.tokenizing import RecordTokenizationOutcome
from services.authorizations.outcomes import RecordAuthorizationOutcome, RecordReversalOutcome
from services.calls.calling import Report
from services.payments.arriving import RecordPaymentOutcome
from services.refunds.refund_outcomes import RecordRefundOutcome

REPORTS: dict[str, type[Report]] = {
    "SALE": RecordPaymentOutcome,
    "CAPTURE": RecordPaymentOutcome,
    "VOID": RecordPaymentOutcome,
    "AUTHORIZE": RecordAuthorizationOutcome,
    "REVERSE": RecordReversalOutcome,
    "REFUND": RecordRefundOutcome,
    "UNREFERENCED_REFUND": RecordRefundOutcome,
    "TOKENIZE": RecordTokenizationOutcome,
    "VERIFY": RecordTokenizationOutcome,
}
