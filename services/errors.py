"""How a command can fail.

Undecodable             the record is no command at all: it goes to the dead letters, whole
Rejected                the command broke a rule: recorded under its id, final, with a stable code
TransientFailure        a condition of the moment: never recorded, try again
  StoreUnavailable      (services.store.protocol)
  ReadModelBehind
services.store.protocol.StoreConflict    someone else wrote first: load again and decide again

Our own bugs are assertions, and park the home key that met them.
"""

from __future__ import annotations

from collections.abc import Iterable

from events.money import Money

STATUS: dict[str, int] = {
    code: status
    for status, codes in (
        (
            400,
            "MALFORMED_REQUEST UNKNOWN_FIELD AMOUNT_NOT_POSITIVE CURRENCY_UNKNOWN MINOR_UNITS_INVALID "
            "DATE_INVALID ALLOCATION_WEIGHTS_ZERO PAYMENT_GROUP_AMBIGUOUS CARD_DATA_FORBIDDEN UNKNOWN_TYPE "
            "UNSUPPORTED_VERSION PARTITION_KEY_MISMATCH AS_OF_SCOPE_REQUIRED LINE_AMOUNTS_DIFFER "
            "PERCENTAGES_NOT_100 OFFSET_POSITIVE_FORBIDDEN",
        ),
        (401, "UNAUTHENTICATED SIGNATURE_INVALID"),
        (413, "BODY_TOO_LARGE"),
        (
            404,
            "ACCOUNT_NOT_FOUND INVOICE_NOT_FOUND INVOICE_LINE_NOT_FOUND PAYMENT_NOT_FOUND "
            "AUTHORIZATION_NOT_FOUND DISPUTE_NOT_FOUND REFUND_NOT_FOUND CREDIT_MEMO_NOT_FOUND "
            "APPLICATION_NOT_FOUND METHOD_NOT_FOUND GATEWAY_NOT_FOUND ORCHESTRATION_NOT_FOUND "
            "OPERATION_NOT_FOUND PAYMENT_GROUP_NOT_FOUND EXCEPTION_NOT_FOUND NOTIFICATION_NOT_FOUND "
            "PAYOUT_NOT_FOUND PAYOUT_LINE_NOT_FOUND BANK_LINE_NOT_FOUND SETTLEMENT_REPORT_NOT_FOUND "
            "API_KEY_NOT_FOUND TOKEN_MIGRATION_NOT_FOUND COMMAND_NOT_FOUND TRANSFER_NOT_FOUND "
            "NOT_FOUND DEBIT_MEMO_NOT_FOUND SCHEDULE_NOT_FOUND ITEM_NOT_FOUND SCHEDULE_POLICY_NOT_FOUND "
            "PROMISE_NOT_FOUND",
        ),
        (
            409,
            "PAYOUT_EXISTS PAYOUT_LINE_EXISTS BANK_LINE_EXISTS SETTLEMENT_REPORT_EXISTS "
            "VERSION_CONFLICT IDEMPOTENCY_KEY_REUSED INVOICE_DUPLICATE ACCOUNT_EXISTS METHOD_DUPLICATE "
            "API_KEY_EXISTS GATEWAY_EXISTS PAYMENT_EXISTS AUTHORIZATION_EXISTS REFUND_EXISTS "
            "CREDIT_MEMO_EXISTS INVOICE_LOCKED CREDIT_MEMO_LOCKED ALREADY_UNAPPLIED "
            "LINE_ALREADY_CONVERTED METHOD_IN_USE TOKEN_MIGRATION_EXISTS ORCHESTRATION_EXISTS "
            "ORCHESTRATION_TOO_LATE OPERATION_IN_FLIGHT PARKED SCHEDULE_EXISTS SCHEDULE_POLICY_EXISTS "
            "DEBIT_MEMO_EXISTS PROMISE_EXISTS ITEM_ALREADY_CLAIMED",
        ),
        (
            422,
            "ACCOUNTING_PERIOD_CLOSED INVOICE_NOT_LATEST "
            "INVALID_STATE DEADLINE_EXCEEDED TARGET_NOT_POSTED PAYMENT_NOT_PROCESSED "
            "PAYMENT_HAS_SETTLEMENTS PAYMENT_NOT_VOIDABLE PAYMENT_NOT_GATEWAY_LINKED PAYMENT_DISPUTED "
            "AUTHORIZATION_EXPIRED INVOICE_HAS_SETTLEMENTS CREDIT_MEMO_HAS_SETTLEMENTS LINE_NOT_NEGATIVE "
            "LINE_NOT_PAYABLE SETTLEMENT_LEVEL_MISMATCH PARTIAL_UNAPPLY_UNSUPPORTED ACCOUNT_ON_HOLD "
            "ACCOUNT_HAS_BALANCE PAYMENT_BALANCE_EXCEEDED INVOICE_BALANCE_EXCEEDED "
            "LINE_BALANCE_EXCEEDED CREDIT_BALANCE_EXCEEDED REFUND_EXCEEDS_UNAPPLIED "
            "REFUND_EXCEEDS_REFUNDABLE REFUND_BALANCE_EXCEEDED CAPTURE_EXCEEDS_AUTHORIZATION "
            "REVERSAL_EXCEEDS_AUTHORIZATION "
            "CURRENCY_MISMATCH ACCOUNT_MISMATCH REFERENCE_MISMATCH GATEWAY_AMOUNT_GRANULARITY "
            "METHOD_NOT_USABLE METHOD_NOT_ACTIVE METHOD_EXPIRED METHOD_NOT_OWNED_BY_ACCOUNT "
            "METHOD_TYPE_UNSUPPORTED METHOD_GATEWAY_MISMATCH MANDATE_REQUIRED NO_PAYMENT_METHOD "
            "NO_REFUND_METHOD GATEWAY_INACTIVE GATEWAY_CAPABILITY_MISSING GATEWAY_CURRENCY_UNSUPPORTED "
            "GATEWAY_MODE_FORBIDDEN REFUND_WINDOW_EXPIRED TOO_MANY_TARGETS TOO_MANY_LINES NOTHING_TO_CHANGE "
            "PERSONAL_DATA_ERASED TOKENIZATION_DECLINED POLICY_NOT_ACTIVATABLE SCHEDULE_AMOUNT_EXCEEDED "
            "SCHEDULE_EXCEEDS_BALANCE PROMISE_TOO_MANY_PARTS",
        ),
        (402, "PAYMENT_DECLINED"),
        (403, "FORBIDDEN ACCOUNT_NOT_VISIBLE SELF_APPROVAL_FORBIDDEN"),
        (503, "GATEWAY_CIRCUIT_OPEN READ_MODEL_BEHIND STORE_UNAVAILABLE"),
    )
    for code in codes.split()
}
"""Every stable code with its HTTP status (domain 10).  Codes never change their meaning."""


class Rejected(Exception):
    """The command broke a rule of the business; `details` says what would have been possible."""

    def __init__(self, code: str, message: str, *, field: str | None = None, **details: object) -> None:
        assert code in STATUS, f"{code} is not in the catalogue"
        super().__init__(message)
        self.code, self.message, self.field, self.details = code, message, field, details

    @property
    def status(self) -> int:
        return STATUS[self.code]


class Undecodable(Exception):
    """The record names no command that could be answered: no type, no identity, no JSON object."""

    def __init__(self, code: str, reason: str) -> None:
        assert code in STATUS, f"{code} is not in the catalogue"
        super().__init__(reason)
        self.code, self.reason = code, reason


class ReadModelBehind(Exception):
    """A read model has not reached the position that the caller asked for in time."""


def not_found(what: str, id: str) -> Rejected:
    """`what` as in `{WHAT}_NOT_FOUND`: ACCOUNT, INVOICE, PAYMENT, …"""
    return Rejected(f"{what}_NOT_FOUND", f"there is no {what.lower().replace('_', ' ')} {id}", id=id)


def invalid_state(what: str, state: str, allowed: Iterable[str]) -> Rejected:
    allowed = sorted(allowed)
    return Rejected(
        "INVALID_STATE",
        f"the {what} is {state}; this needs {' or '.join(allowed)}",
        state=state,
        allowed=allowed,
    )


def exceeded(
    code: str, asked: Money, available: Money, of: str, field: str | None = "data.amount"
) -> Rejected:
    """An amount above what is there; `details.available` is in minor units."""
    return Rejected(
        code,
        f"asked for {asked}, but {of} has only {available}",
        field=field,
        available=available.amount_minor,
    )


def currency_mismatch(expected: str, got: str, of: str) -> Rejected:
    return Rejected("CURRENCY_MISMATCH", f"{of} is in {expected}, not in {got}", expected=expected, got=got)
