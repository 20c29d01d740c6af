"""Which command tells of which operation: the same for a gateway's answer, its news, and an inquiry."""

from __future__ import annotations

from services.authorizing import RecordAuthorizationOutcome, RecordReversalOutcome
from services.calling import Report
from services.paying import RecordPaymentOutcome
from services.refund_outcomes import RecordRefundOutcome

REPORTS: dict[str, type[Report]] = {
    "SALE": RecordPaymentOutcome,
    "CAPTURE": RecordPaymentOutcome,
    "VOID": RecordPaymentOutcome,
    "AUTHORIZE": RecordAuthorizationOutcome,
    "REVERSE": RecordReversalOutcome,
    "REFUND": RecordRefundOutcome,
    "UNREFERENCED_REFUND": RecordRefundOutcome,
}
