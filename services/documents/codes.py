"""The stable codes as a page: what each means, its HTTP status, and whether trying again helps.

It is made from `services.errors` and committed beside the contracts; the same test compares it.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.errors import STATUS

SAME = "yes, as it is"
LATER = "later, as a new command"
NO = "no: change it"

_UNRECORDED = frozenset({"STORE_UNAVAILABLE", "READ_MODEL_BEHIND"})
"""Conditions of the moment: nothing was recorded, so the very same command may come again."""
_OF_THE_MOMENT = frozenset(
    """
    ACCOUNT_ON_HOLD CREDIT_MEMO_LOCKED GATEWAY_CIRCUIT_OPEN GATEWAY_INACTIVE INVOICE_LOCKED METHOD_IN_USE
    OPERATION_IN_FLIGHT ORCHESTRATION_EXISTS PAYMENT_DISPUTED PAYMENT_NOT_PROCESSED SCHEDULER_LIMIT_REACHED
    TARGET_NOT_POSTED VERSION_CONFLICT
    """.split()
)
"""What is in the way now may be out of it later: a rejection is final for its identity, a new one is not."""

MEANINGS: dict[str, str] = {
    "MALFORMED_REQUEST": "It is no JSON object of this shape, or a field's value makes no sense here",
    "UNKNOWN_FIELD": "A field, or a setting, that nobody knows",
    "AMOUNT_NOT_POSITIVE": "An amount must be above 0",
    "CURRENCY_UNKNOWN": "No ISO 4217 currency",
    "MINOR_UNITS_INVALID": "`amount_minor` is no whole number of at most 10^15",
    "DATE_INVALID": "No such day or instant",
    "ALLOCATION_WEIGHTS_ZERO": "Nothing to divide an amount by",
    "LINE_AMOUNTS_DIFFER": "The amounts of the lines do not add up to the amount",
    "PAYMENT_GROUP_AMBIGUOUS": "An existing payment group and data for a new one were both given",
    "CARD_DATA_FORBIDDEN": "Something looks like a card number: send a token of the gateway",
    "UNKNOWN_TYPE": "No command is called that",
    "UNSUPPORTED_VERSION": "The command exists, but not in this version",
    "PARTITION_KEY_MISMATCH": "The record's key, or `account_id`, is not the home of this command",
    "AS_OF_SCOPE_REQUIRED": "A question about an earlier instant names one id or one account",
    "BODY_TOO_LARGE": "More bytes than one command, or one body, may have",
    "UNAUTHENTICATED": "Nobody known has sent it",
    "SIGNATURE_INVALID": "A notification that is not the gateway's, or too old",
    "FORBIDDEN": "The actor's roles do not permit it",
    "ACCOUNT_NOT_VISIBLE": "The actor may not see this account",
    "SELF_APPROVAL_FORBIDDEN": "Who asked for it cannot approve it",
    "COMMAND_NOT_FOUND": "No verdict has this command id",
    "NOT_FOUND": "There is nothing of this kind under this name",
    "VERSION_CONFLICT": "The stream has another version than `expected_version`",
    "IDEMPOTENCY_KEY_REUSED": "This identity was used before, with other content",
    "INVOICE_DUPLICATE": "The external id was posted before",
    "METHOD_DUPLICATE": "The token belongs to another saved method, or account",
    "INVOICE_LOCKED": "A process holds the invoice; `details.by` names it",
    "CREDIT_MEMO_LOCKED": "A process or a refund holds the credit memo; `details.by` names it",
    "ALREADY_UNAPPLIED": "The application was taken back before",
    "LINE_ALREADY_CONVERTED": "The negative line is a credit memo's already",
    "METHOD_IN_USE": "Something is on its way with this method",
    "ORCHESTRATION_EXISTS": "The memo's refund is being orchestrated already",
    "ORCHESTRATION_TOO_LATE": "Money is with a gateway or has left: it cannot be called off",
    "OPERATION_IN_FLIGHT": "The same is being done at the gateway now",
    "PARKED": "An earlier command of this account is parked: this one waits behind it, and is not lost",
    "INVALID_STATE": "Not in this state; `details.allowed` has the states in which it works",
    "CLOCK_BACKWARDS": "Time is never moved back: that instant is over",
    "CLOCK_NOT_MOVABLE": "Time moves only on embedded servers, with no gateway but the simulator",
    "DEADLINE_EXCEEDED": "It came after its own deadline",
    "TARGET_NOT_POSTED": "The invoice is not posted",
    "TAX_STRATEGY_UNSUPPORTED": "No tax is calculated here: say the tax, or have it copied or left out",
    "PAYMENT_NOT_PROCESSED": "The payment has not arrived, or is gone",
    "PAYMENT_HAS_SETTLEMENTS": "Something of the payment is applied, refunded, reserved or transferred",
    "PAYMENT_LINK_EXPIRED": "The link's time is over, or somebody ended it: make another",
    "PAYMENT_NOT_VOIDABLE": "Its gateway knows no void, or it is another account's money",
    "PAYMENT_NOT_GATEWAY_LINKED": "It came by no gateway, so none can give it back",
    "PAYMENT_DISPUTED": "The payment has an open dispute",
    "AUTHORIZATION_EXPIRED": "The authorization's time is over",
    "INVOICE_HAS_SETTLEMENTS": "Something is applied to the invoice, or to its negative lines",
    "INVOICE_NOT_LATEST": "A later invoice of the same schedule is voided first",
    "CREDIT_MEMO_HAS_SETTLEMENTS": "Something of the memo is applied, refunded or reserved",
    "LINE_NOT_NEGATIVE": "Only a negative line becomes a credit memo",
    "LINE_NOT_PAYABLE": "The line owes nothing",
    "SETTLEMENT_LEVEL_MISMATCH": "The invoice is settled at the other level; its applications come off first",
    "PARTIAL_UNAPPLY_UNSUPPORTED": "An application is taken back whole",
    "CADENCE_FIELD_MISSING": "The cadence needs a field that is not there",
    "CRITERIA_REQUIRED": "A scheduler says what it collects",
    "END_BEFORE_START": "It would end before it begins",
    "STAGGER_NOT_ASCENDING": "Staggered intervals grow from one to the next",
    "RETRY_INTERVAL_INVALID": "An interval between retries is out of its range",
    "RETRY_MAX_INVALID": "The number of retries is out of its range",
    "RETRY_NOT_POSSIBLE": "Retries are off, no method may be tried, or a card network allows no attempt yet",
    "PERCENTAGES_NOT_100": "The percentages of the parts do not add up to 100",
    "OFFSET_POSITIVE_FORBIDDEN": "An item may be due on or before its anchor, not after it",
    "RETRY_RULE_DUPLICATE": "Two rules of the set are for the same failure",
    "ITEM_ALREADY_CLAIMED": "Another run is collecting the item",
    "SCHEDULER_TERMINAL": "The scheduler has ended",
    "POLICY_NOT_ACTIVATABLE": "The policy lacks something that an active one needs",
    "DEFAULT_RULE_SET_REQUIRED": "Retries need an active default rule set first",
    "SCHEDULE_AMOUNT_EXCEEDED": "The items add up to more than the schedule",
    "SCHEDULE_EXCEEDS_BALANCE": "The schedule is for more than the invoice owes",
    "NO_ACTIVE_TREATMENT": "No active treatment is for this invoice",
    "PROMISE_TOO_MANY_PARTS": "A promise has at most three parts",
    "SCHEDULER_LIMIT_REACHED": "As many schedulers are active as the tenant may have; `details.limit`",
    "SCHEDULER_HAS_NO_RUNS": "Its timing has no run to come: its dates are over, or nothing fits them",
    "ACCOUNTING_PERIOD_CLOSED": "Its effective day lies in a closed accounting period",
    "ACCOUNT_ON_HOLD": "Nobody collects from the account now",
    "ACCOUNT_HAS_BALANCE": "Something of the account is owed, owned or in flight",
    "PAYMENT_BALANCE_EXCEEDED": "More than is unapplied of the payment; `details.available`",
    "INVOICE_BALANCE_EXCEEDED": "More than the invoice owes; `details.available`",
    "LINE_BALANCE_EXCEEDED": "More than the line owes; `details.available`",
    "CREDIT_BALANCE_EXCEEDED": "More than is left of the memo; `details.available`",
    "REFUND_EXCEEDS_UNAPPLIED": "More than is unapplied of the payment; `REOPEN_INVOICES` takes it off them",
    "REFUND_EXCEEDS_REFUNDABLE": "More than can still be given back of the payment; `details.available`",
    "APPROVAL_REQUIRED": "Above the tenant's threshold it is for somebody who may approve refunds",
    "REFUND_LIMIT_EXCEEDED": "As much, or as often, as may be paid out to other methods; `details.available`",
    "REFUND_BALANCE_EXCEEDED": "More than is left of the refund to be lined; `details.available`",
    "CAPTURE_EXCEEDS_AUTHORIZATION": "More than is still held; `details.available`",
    "REVERSAL_EXCEEDS_AUTHORIZATION": "More than is still held; `details.available`",
    "CHECKOUT_AMOUNT_MISMATCH": "What the buyer agreed to is not what the invoice owes; `details.owed`",
    "CURRENCY_MISMATCH": "The two are in different currencies",
    "ACCOUNT_MISMATCH": "It belongs to another account",
    "REFERENCE_MISMATCH": "The invoice is not the one that the memo refers to",
    "GATEWAY_AMOUNT_GRANULARITY": "The gateway takes only whole steps of this currency",
    "METHOD_NOT_USABLE": "The method cannot be used so; `details.cause` says why",
    "METHOD_NOT_ACTIVE": "The method is revoked, errored, or not verified yet",
    "METHOD_EXPIRED": "The instrument's last month is over",
    "METHOD_NOT_OWNED_BY_ACCOUNT": "The method belongs to another account",
    "METHOD_TYPE_UNSUPPORTED": "The gateway takes no such instrument",
    "METHOD_GATEWAY_MISMATCH": "The method's token belongs to another gateway",
    "MANDATE_REQUIRED": "The holder's mandate, or consent, is not on record",
    "NO_PAYMENT_METHOD": "No method was named, and the account has none that stands in",
    "NO_REFUND_METHOD": "There is no method to pay out to",
    "GATEWAY_INACTIVE": "The gateway takes nothing new",
    "GATEWAY_CAPABILITY_MISSING": "The gateway cannot do that",
    "GATEWAY_CURRENCY_UNSUPPORTED": "The gateway does not take this currency",
    "GATEWAY_MODE_FORBIDDEN": "A production tenant takes no test gateway",
    "GATEWAY_CIRCUIT_OPEN": "The gateway does not answer, and is left alone for a while",
    "REFUND_WINDOW_EXPIRED": "The payment is older than the gateway gives back",
    "TOKENIZATION_DECLINED": "The gateway does not keep the instrument",
    "PAYMENT_DECLINED": "The gateway declined it; the payment, or authorization, exists and is FAILED",
    "TOO_MANY_TARGETS": "More targets than one command may name; `details.limit`",
    "TOO_MANY_LINES": "More lines than a document may have",
    "NOTHING_TO_CHANGE": "There is nothing that it could do",
    "PERSONAL_DATA_ERASED": "The account asked to be forgotten: it takes no personal data any more",
    "READ_MODEL_BEHIND": "The read model has not reached `min_position` in time",
    "STORE_UNAVAILABLE": "The store cannot be reached now; nothing was recorded",
}


def meaning(code: str) -> str:
    """One sentence; of a code that nobody has explained here, its own words."""
    if code in MEANINGS:
        return MEANINGS[code]
    for ending, said in (
        ("_NOT_FOUND", "There is no such {}"),
        ("_EXISTS", "The {}'s id, or name, is taken"),
    ):
        if code.endswith(ending):
            return said.format(code.removesuffix(ending).replace("_", " ").lower())
    return code.replace("_", " ").capitalize()


def again(code: str) -> str:
    """Whether the same can be tried again."""
    return SAME if code in _UNRECORDED else LATER if code in _OF_THE_MOMENT else NO


def page() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Codes"
    yield ""
    yield "Made from the code by `tender contracts`; do not edit.  A code never changes its meaning."
    yield ""
    yield "A rejection is final for its command's identity: who tries again sends a new one."
    yield "Over HTTP it is in the problem document, with a `message` and `details`; on Kafka in the result of"
    yield "its command, or, for a record that names nobody, in the header `tender_code` of a dead letter."
    yield ""
    yield "| HTTP | code | what it means | try again? |"
    yield "|---|---|---|---|"
    for code, status in sorted(STATUS.items(), key=lambda known: (known[1], known[0])):
        yield f"| {status} | `{code}` | {meaning(code)} | {again(code)} |"
