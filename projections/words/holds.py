"""Authorizations in words."""

from __future__ import annotations

from typing import Any

from events import authorization as auth
from projections.words.plain import (
    Words,
    because,
    customer_acts,
    failed,
    held_for_review,
    instrument,
    plain,
    told_later,
    unknown,
)


def _held(fact: auth.PaymentAuthorized) -> str:
    until = f" until {fact.expires_at:%Y-%m-%d}" if fact.expires_at else ""
    return f"The amount is held{until}, told by {plain(fact.source)}{', late' if fact.late else ''}"


def _held_elsewhere(fact: auth.AuthorizationRecorded) -> str:
    until = f", until {fact.expires_at:%Y-%m-%d}" if fact.expires_at else ""
    return f"Hold {fact.number} of {fact.amount} was made elsewhere, at {fact.gateway_id}{until}"


def _asked(fact: auth.AuthorizationRequested) -> str:
    return f"Hold {fact.number} of {fact.amount} asked of {fact.gateway_id} on {instrument(fact.method)}"


def _capturing(fact: auth.AuthorizationCaptureRequested) -> str:
    rest = "; the rest is let go" if fact.final else ""
    return f"{fact.amount} of it is captured by payment {fact.payment_id}{rest}"


WORDS: dict[type[Any], Words] = {
    auth.AuthorizationRequested: _asked,
    auth.AuthorizationRecorded: _held_elsewhere,
    auth.PaymentAuthorized: _held,
    auth.AuthorizationPending: told_later,
    auth.AuthorizationActionRequired: customer_acts,
    auth.AuthorizationHeldForReview: held_for_review,
    auth.AuthorizationOutcomeUnknown: unknown("hold"),
    auth.AuthorizationDeclined: failed("Hold"),
    auth.AuthorizationCaptureRequested: _capturing,
    auth.AuthorizationCaptureSucceeded: lambda f: f"{f.amount} captured by payment {f.payment_id}",
    auth.AuthorizationCaptureFailed: lambda f: (
        f"{f.amount} not captured by payment {f.payment_id}: it can be tried again"
    ),
    auth.AuthorizationReversalRequested: lambda f: (
        f"The gateway is asked to let go of {f.amount} ({f.number})"
    ),
    auth.AuthorizationReversalPending: lambda _: "The gateway has the reversal, and will tell later",
    auth.AuthorizationReversed: lambda f: f"{f.amount} let go",
    auth.AuthorizationReversalFailed: lambda f: (
        f"{f.amount} not let go{because(f.raw_message or f.raw_code)}"
    ),
    auth.AuthorizationExpired: lambda f: f"Its time is over: {f.released} is no longer held",
    auth.AuthorizationCanceled: lambda f: f"All of it let go, nothing was captured{because(f.reason)}",
}  # fmt: skip
