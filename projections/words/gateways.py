"""Gateways in words: what was asked of them, what they answered, and what they tell of their own."""

from __future__ import annotations

from typing import Any

from events import gateway as gw
from events import gateway_call as call
from events import notification as note
from events import operations as ops
from projections.words.plain import Words, because, plain


def _asked(fact: call.GatewayCallPlanned) -> str:
    amount = f" of {fact.amount}" if fact.amount.amount_minor else ""
    again = f", attempt {fact.attempt_no}" if fact.attempt_no > 1 else ""
    return f"{fact.gateway_id} is asked: {plain(fact.operation)}{amount}{again}"


def _answered(what: str) -> Words:
    """With the gateway's own words, and its reference."""

    def words(fact: Any) -> str:
        told = fact.outcome
        said = told.raw_message or told.raw_code
        reference = f", as {told.gateway_ref}" if told.gateway_ref else ""
        return f"{what}{f' ({said})' if said else ''}, told by {plain(fact.source)}{reference}"

    return words


def _not_sent(fact: call.GatewayCallNotSent) -> str:
    again = f"sent again at {fact.retry_at:%H:%M:%S}" if fact.retry_at else "given up"
    return f"It did not reach the gateway{because(fact.outcome.raw_message)}: {again}"


def _inquired(fact: call.GatewayStatusQueried) -> str:
    then = f"asked again at {fact.next_query_at:%H:%M:%S}" if fact.next_query_at else "a case for a person"
    return f"Inquiry {fact.queries} found {plain(fact.found)}: {then}"


def _resolved(fact: call.GatewayOutcomeResolved) -> str:
    against = ", against what was known" if fact.contradicts else ""
    return f"It is known to be {plain(fact.outcome.result_code)}{against}, told by {plain(fact.source)}"


def _may(enabled: bool) -> str:
    return "may" if enabled else "may not"


WORDS: dict[type[Any], Words] = {
    gw.GatewayProviderRegistered: lambda f: f"Provider {f.name}, spoken to by the adapter {f.adapter_key}",
    gw.RawCodeMapPublished: lambda f: f"Map {f.map_version} of its raw codes: {len(f.codes)} in all",
    gw.MethodTypesMapped: lambda f: f"What it calls {len(f.types)} methods is told by our types",
    gw.GatewayRegistered: lambda f: (
        f"Gateway {f.name} of {f.provider_id}, {plain(f.mode)}, for {f.merchant_account_id}"
    ),
    gw.GatewayActivated: lambda f: f"It may be asked for new payments{because(f.reason)}",
    gw.GatewayDeactivated: lambda f: f"It is asked for nothing new{because(f.reason)}",
    gw.GatewayRestricted: lambda f: f"The provider limits it, {plain(f.status)}{because(f.reason)}",
    gw.GatewaySwitched: lambda f: (
        f"It {_may(f.payments_enabled)} take money, and {_may(f.payouts_enabled)} pay out{because(f.reason)}"
    ),
    gw.GatewayCredentialRotated: lambda f: f"It is called with the credential {f.credential_ref}",
    gw.GatewayCircuitOpened: lambda f: f"It is left alone until {f.until:%Y-%m-%d %H:%M:%S}: {f.reason}",
    gw.GatewayCircuitClosed: lambda f: f"It is sent to again{because(f.reason)}",
    call.GatewayCallPlanned: _asked,
    call.GatewayCallSucceeded: _answered("Done"),
    call.GatewayCallRejected: _answered("Refused"),
    call.GatewayCallPending: _answered("Taken, to be told later"),
    call.GatewayCallTimedOut: lambda f: (
        f"No answer ({plain(f.reason)}): asked what became of it at {f.next_query_at:%H:%M:%S}"
    ),
    call.GatewayCallNotSent: _not_sent,
    call.GatewayStatusQueried: _inquired,
    call.GatewayReplayPlanned: lambda f: (
        f"After {f.queries} inquiries it is sent once more, under the same key"
    ),
    call.GatewayOutcomeResolved: _resolved,
    call.GatewayResolutionProposed: lambda f: (
        f"{f.proposed_by} says that it is {plain(f.outcome)}; another must agree"
    ),
    note.NotificationReceived: lambda f: f"{f.gateway_id} tells of its own: {f.type} ({f.provider_event_id})",
    note.NotificationDeferred: lambda f: f"Nothing fits yet: looked for again at {f.next_match_at:%H:%M:%S}",
    note.NotificationMatched: lambda f: f"It is about {plain(f.target_kind)} {f.target_id}, by {plain(f.by)}",
    note.NotificationUnmatched: lambda f: f"Nothing fits{because(f.reason)}",
    note.NotificationReplayed: lambda f: f"Looked at anew, for the {f.replay_no}. time",
    note.NotificationRejected: lambda f: f"Not believed to be {f.gateway_id}'s: {plain(f.reason)}",
    ops.ExceptionRaised: lambda f: f"A case for a person, {plain(f.type)}: {f.message}",
    ops.ExceptionResolved: lambda f: f"Dealt with, {plain(f.resolution)}{because(f.note)}",
    ops.ParkedCommandDropped: lambda f: f"Parked command {f.command_type} dropped{because(f.reason)}",
}  # fmt: skip
