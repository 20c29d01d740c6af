"""What adapters answer, built in one place: refusals by the raw code map, and the two ways of no answer.

Invariant: `not_sent` only where it is certain that the gateway executed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from events.shapes import Outcome
from gateways import codes
from gateways.credentials import Credential

TEXT_CHARACTERS_MAX = 1000
"""Of what a gateway writes, so much is kept."""

UNREADABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What reading an answer of another shape raises."""


def unreadable(error: Exception) -> Outcome:
    """An answer came, and it is none that the gateway documents: the money may have moved."""
    return unknown(f"the answer cannot be read: {type(error).__name__}")


def careful(outcome: Outcome, credential: Credential) -> Outcome:
    """An outcome as it may be kept for ever: its texts cut to length, and no secret in them."""
    return replace(
        outcome,
        raw_code=_kept(outcome.raw_code, credential),
        raw_message=_kept(outcome.raw_message, credential),
        reference_details=_kept(outcome.reference_details, credential),
    )


def _kept(text: str | None, credential: Credential) -> str | None:
    return text and credential.hidden(text)[:TEXT_CHARACTERS_MAX]


def unknown(why: str) -> Outcome:
    """It was, or may have been, sent, and nobody knows what became of it."""
    return Outcome("Indeterminate", category="GatewayConnection", raw_message=why)


def not_sent(why: str, retry_after_seconds: int | None = None) -> Outcome:
    return Outcome(
        "SystemError", category="GatewayConnection", raw_message=why, retry_after_seconds=retry_after_seconds
    )


def refused(
    family: str | Mapping[str, codes.Meaning],
    code: str,
    message: str | None = None,
    *,
    gateway_ref: str | None = None,
    never_retry: bool = False,
    auth_code: str | None = None,
    avs_code: str | None = None,
    cvc_code: str | None = None,
    raw_sub_code: str | None = None,
    network_code: str | None = None,
    network_advice: str | None = None,
) -> Outcome:
    """A known refusal; `never_retry` is the gateway's own advice, which can only make it stricter.

    So can the network's: Mastercard's merchant advice codes, which other networks' never look like.
    """
    meaning = codes.classify(family, code)
    advised = codes.classify("mastercard_advice", network_advice) if network_advice else codes.UNKNOWN
    never = meaning.never_retry or never_retry or advised.never_retry
    special = codes.RESULTS.get((family, code.strip())) if isinstance(family, str) else None
    return Outcome(
        special or result_of(meaning, never),
        category=meaning.category,
        hard=meaning.hard or never,
        never_retry=never,
        raw_code=code,
        raw_message=message,
        gateway_ref=gateway_ref,
        auth_code=auth_code,
        avs_code=avs_code,
        cvc_code=cvc_code,
        code_map_version=codes.VERSION,
        raw_sub_code=raw_sub_code,
        network_code=network_code,
        network_advice=network_advice,
    )


def data_rejected(told: Outcome) -> Outcome:
    """A refusal for the sake of the Level 2 and 3 data alone, whatever its code: it is sent without them."""
    return replace(
        told,
        result_code="EnhancedDataRejected",
        category="PaymentInformation",
        hard=False,
        never_retry=False,
    )


def unsupported(operation: str, gateway: str) -> Outcome:
    """The gateway has no such operation: its capabilities say so, and nothing was sent."""
    message = f"{gateway} has no {operation}"
    return Outcome(
        "Decline", category="PaymentProcessing", hard=True, raw_code="unsupported", raw_message=message
    )


def of_status(status: int, why: str, retry_after_seconds: int | None = None) -> Outcome | None:
    """What an HTTP status alone tells; nothing where the body has to be read.

    Credentials that are not accepted and too many requests end before anything is executed.
    """
    if status in (401, 403, 429):
        return not_sent(f"HTTP {status}: {why}", retry_after_seconds)
    return unknown(f"HTTP {status}: {why}") if status >= 500 or status == 408 else None


def seconds(header: str | None) -> int | None:
    """A `Retry-After` header in seconds; its other form, a date, is left to our own pauses."""
    return int(header) if header and header.isdigit() else None


def result_of(meaning: codes.Meaning, never_retry: bool) -> str:
    """Wrong data of the customer's; what is closed for good; or what may work later."""
    if meaning.category == "PaymentInformation":
        return "ValidationError"
    return "PermanentFail" if never_retry else "Decline"
