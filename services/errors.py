"""How a command can fail.

Undecodable             the record is no command at all: it goes to the dead letters, whole
Rejected                the command broke a rule: recorded under its id, final, with a stable code
TransientFailure        a condition of the moment: never recorded, try again
  StoreUnavailable      (services.store.protocol)
  ReadModelBehind
services.store.protocol.StoreConflict    someone else wrote first: load again and decide again

Our own bugs are assertions, and park the home key that met them; an `Undecodable` of Tender's own does, too.
"""

from __future__ import annotations

from collections.abc import Iterable

from events.money import Money

STATUS: dict[str, int] = {
    code: status
    for status, codes in {
        400: """
            ALLOCATION_WEIGHTS_ZERO
            AMOUNT_NOT_POSITIVE
            AS_OF_SCOPE_REQUIRED
            CADENCE_FIELD_MISSING
            CARD_DATA_FORBIDDEN
            CRITERIA_REQUIRED
            CURRENCY_UNKNOWN
            DATE_INVALID
            END_BEFORE_START
            LINE_AMOUNTS_DIFFER
            MALFORMED_REQUEST
            MINOR_UNITS_INVALID
            OFFSET_POSITIVE_FORBIDDEN
            PARTITION_KEY_MISMATCH
            PAYMENT_GROUP_AMBIGUOUS
            PERCENTAGES_NOT_100
            RETRY_INTERVAL_INVALID
            RETRY_MAX_INVALID
            STAGGER_NOT_ASCENDING
            UNKNOWN_FIELD
            UNKNOWN_TYPE
            UNSUPPORTED_VERSION
        """,
        401: """
            SIGNATURE_INVALID
            UNAUTHENTICATED
        """,
        402: """
            PAYMENT_DECLINED
        """,
        403: """
            ACCOUNT_NOT_VISIBLE
            FORBIDDEN
            SELF_APPROVAL_FORBIDDEN
        """,
        404: """
            ACCOUNT_NOT_FOUND
            API_KEY_NOT_FOUND
            APPLICATION_NOT_FOUND
            AUTHORIZATION_NOT_FOUND
            BANK_LINE_NOT_FOUND
            COMMAND_NOT_FOUND
            CREDIT_MEMO_NOT_FOUND
            DEBIT_MEMO_NOT_FOUND
            DISPUTE_NOT_FOUND
            EXCEPTION_NOT_FOUND
            GATEWAY_NOT_FOUND
            INVOICE_LINE_NOT_FOUND
            INVOICE_NOT_FOUND
            ITEM_NOT_FOUND
            METHOD_NOT_FOUND
            NOTIFICATION_NOT_FOUND
            NOT_FOUND
            OPERATION_NOT_FOUND
            ORCHESTRATION_NOT_FOUND
            PAYMENT_GROUP_NOT_FOUND
            PAYMENT_LINK_NOT_FOUND
            PAYMENT_NOT_FOUND
            PAYOUT_LINE_NOT_FOUND
            PAYOUT_NOT_FOUND
            PROMISE_NOT_FOUND
            REFUND_NOT_FOUND
            SCHEDULER_NOT_FOUND
            RULE_SET_NOT_FOUND
            RUN_NOT_FOUND
            SCHEDULE_NOT_FOUND
            SCHEDULE_POLICY_NOT_FOUND
            SETTLEMENT_REPORT_NOT_FOUND
            TOKEN_MIGRATION_NOT_FOUND
            TRANSFER_NOT_FOUND
        """,
        409: """
            ACCOUNT_EXISTS
            ALREADY_UNAPPLIED
            API_KEY_EXISTS
            AUTHORIZATION_EXISTS
            BANK_LINE_EXISTS
            CREDIT_MEMO_EXISTS
            CREDIT_MEMO_LOCKED
            DEBIT_MEMO_EXISTS
            GATEWAY_EXISTS
            IDEMPOTENCY_KEY_REUSED
            INVOICE_DUPLICATE
            INVOICE_LOCKED
            ITEM_ALREADY_CLAIMED
            LINE_ALREADY_CONVERTED
            METHOD_DUPLICATE
            METHOD_IN_USE
            OPERATION_IN_FLIGHT
            ORCHESTRATION_EXISTS
            ORCHESTRATION_TOO_LATE
            PARKED
            PAYMENT_EXISTS
            PAYMENT_LINK_EXISTS
            PAYOUT_EXISTS
            PAYOUT_LINE_EXISTS
            PROMISE_EXISTS
            REFUND_EXISTS
            RUN_EXISTS
            SCHEDULER_EXISTS
            RETRY_RULE_DUPLICATE
            RULE_SET_EXISTS
            SCHEDULE_EXISTS
            SCHEDULE_POLICY_EXISTS
            SETTLEMENT_REPORT_EXISTS
            TOKEN_MIGRATION_EXISTS
            VERSION_CONFLICT
        """,
        413: """
            BODY_TOO_LARGE
        """,
        422: """
            ACCOUNTING_PERIOD_CLOSED
            ACCOUNT_HAS_BALANCE
            ACCOUNT_MISMATCH
            ACCOUNT_ON_HOLD
            APPROVAL_REQUIRED
            AUTHORIZATION_EXPIRED
            CAPTURE_EXCEEDS_AUTHORIZATION
            CLOCK_BACKWARDS
            CLOCK_NOT_MOVABLE
            CHECKOUT_AMOUNT_MISMATCH
            CREDIT_BALANCE_EXCEEDED
            CREDIT_MEMO_HAS_SETTLEMENTS
            CURRENCY_MISMATCH
            DEADLINE_EXCEEDED
            DEFAULT_RULE_SET_REQUIRED
            GATEWAY_AMOUNT_GRANULARITY
            GATEWAY_CAPABILITY_MISSING
            GATEWAY_CURRENCY_UNSUPPORTED
            GATEWAY_INACTIVE
            GATEWAY_MODE_FORBIDDEN
            INVALID_STATE
            INVOICE_BALANCE_EXCEEDED
            INVOICE_HAS_SETTLEMENTS
            INVOICE_NOT_LATEST
            LINE_BALANCE_EXCEEDED
            LINE_NOT_NEGATIVE
            LINE_NOT_PAYABLE
            MANDATE_REQUIRED
            METHOD_EXPIRED
            METHOD_GATEWAY_MISMATCH
            METHOD_NOT_ACTIVE
            METHOD_NOT_OWNED_BY_ACCOUNT
            METHOD_NOT_USABLE
            METHOD_TYPE_UNSUPPORTED
            NOTHING_TO_CHANGE
            NO_PAYMENT_METHOD
            NO_REFUND_METHOD
            PARTIAL_UNAPPLY_UNSUPPORTED
            PAYMENT_BALANCE_EXCEEDED
            PAYMENT_DISPUTED
            PAYMENT_HAS_SETTLEMENTS
            PAYMENT_LINK_EXPIRED
            PAYMENT_NOT_GATEWAY_LINKED
            PAYMENT_NOT_PROCESSED
            PAYMENT_NOT_VOIDABLE
            PERSONAL_DATA_ERASED
            POLICY_NOT_ACTIVATABLE
            PROMISE_TOO_MANY_PARTS
            REFERENCE_MISMATCH
            REFUND_BALANCE_EXCEEDED
            REFUND_EXCEEDS_REFUNDABLE
            REFUND_EXCEEDS_UNAPPLIED
            REFUND_LIMIT_EXCEEDED
            REFUND_WINDOW_EXPIRED
            RETRY_NOT_POSSIBLE
            REVERSAL_EXCEEDS_AUTHORIZATION
            SCHEDULER_HAS_NO_RUNS
            SCHEDULER_LIMIT_REACHED
            SCHEDULER_TERMINAL
            SCHEDULE_AMOUNT_EXCEEDED
            SCHEDULE_EXCEEDS_BALANCE
            SETTLEMENT_LEVEL_MISMATCH
            TARGET_NOT_POSTED
            TAX_STRATEGY_UNSUPPORTED
            TOKENIZATION_DECLINED
            TOO_MANY_LINES
            TOO_MANY_TARGETS
        """,
        503: """
            GATEWAY_CIRCUIT_OPEN
            READ_MODEL_BEHIND
            STORE_UNAVAILABLE
        """,
    }.items()
    for code in codes.split()
}
"""Every stable code with its HTTP status.  Codes never change their meaning."""


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
