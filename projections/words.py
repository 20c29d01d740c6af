"""Facts in words: one sentence each, with its amounts.

A fact without words of its own is told by its name and its fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from events import access as acc
from events import account, retry, retrying
from events import authorization as auth
from events import credit_memo as cm
from events import debit_memo as dm
from events import invoice as inv
from events import orchestration as ro
from events import payment as pay
from events import payment_link as link
from events import payout as po
from events import period as per
from events import refund as ref
from events import schedule as ps
from events import scheduler as sch
from events import transfer as tra
from events.money import Money
from projections.schedulers import in_words

Words = Callable[[Any], str]


def sentence(fact: object) -> str:
    """One fact as a person would say it."""
    said = _SAID.get(type(fact))
    return said(fact) if said else _by_fields(fact)


def _posted(fact: inv.InvoicePosted) -> str:
    what = "Negative invoice" if fact.is_negative else "Invoice"
    lines = f"{len(fact.lines)} line{'s' if len(fact.lines) != 1 else ''}"
    tax = f", of it {fact.total_tax} tax" if fact.total_tax.amount_minor else ""
    return f"{what} {fact.number} posted: {fact.total} in {lines}{tax}, due {fact.due_date}"


def _written(what: str) -> Words:
    def words(fact: Any) -> str:
        said = fact.content
        lines = f"{len(said.lines)} line{'s' if len(said.lines) != 1 else ''}"
        return f"{what} invoice {said.number}: {said.total} in {lines}; nothing is owed yet"

    return words


def _voided_invoice(fact: inv.InvoiceVoided) -> str:
    memo = f" by credit memo {fact.credit_memo_id}" if fact.credit_memo_id else ""
    return f"Invoice voided{memo}{f': {fact.reason}' if fact.reason else ''}"


def _written_off(fact: inv.InvoiceWrittenOff) -> str:
    policy = ", by the policy for small balances" if fact.cause == "SMALL_BALANCE" else ""
    return f"{fact.amount} written off{policy}: {_plain(fact.reason_code)}"


def _debited(fact: dm.DebitMemoPosted) -> str:
    if fact.kind == "OFFSET":
        return f"Debit memo {fact.number} of {fact.total} offsets credit memo {fact.credit_memo_id}"
    why = f": {_plain(fact.reason_code)}" if fact.reason_code else ""
    return f"Debit memo {fact.number} of {fact.total} posted{why}"


def _period(what: str) -> Words:
    def words(fact: Any) -> str:
        why = getattr(fact, "reason", None)
        return f"{fact.month} {what} for {fact.legal_entity_id}{f': {why}' if why else ''}"

    return words


def _settling(what: str, done: str, direction: str) -> Words:
    """An application or its undoing, seen from the invoice: what is left to pay."""

    def words(fact: Any) -> str:
        source = getattr(fact, "payment_id", None) or getattr(fact, "credit_memo_id", None)
        why = f", for {_plain(fact.cause)}" if fact.cause else ""
        return f"{what} {source} {done}: {fact.total} {direction} this invoice, {fact.balance} open{why}"

    return words


def _spending(done: str, direction: str, rest: str) -> Words:
    """The same, seen from the payment or the credit memo: what is left of it."""

    def words(fact: Any) -> str:
        left = getattr(fact, rest)
        return f"{done} {direction} invoice {fact.invoice_id}: {fact.total}, {left} left"

    return words


def _requested(fact: pay.PaymentRequested) -> str:
    by = f"{fact.method.network or fact.method.type} {fact.method.last4 or ''}".strip()
    return f"Payment {fact.number} of {fact.amount} asked of {fact.gateway_id} by {by}"


def _failed(what: str) -> Words:
    def words(fact: Any) -> str:
        said = " ".join(filter(None, (fact.raw_code, fact.raw_message and f"({fact.raw_message})")))
        hard = "; trying again is of no use" if fact.hard else ""
        return f"{what} failed: {_plain(fact.category)}{f', the gateway said {said}' if said else ''}{hard}"

    return words


def _reduced(fact: pay.PaymentEnhancedDataReduced | auth.AuthorizationEnhancedDataReduced) -> str:
    kept = "goes without its lines" if fact.level else "does not go with it"
    return f"The purchase detail {kept}: {_plain(fact.reason)}"


def _sent_without_data(
    fact: pay.PaymentEnhancedDataRejected | auth.AuthorizationEnhancedDataRejected,
) -> str:
    said = fact.raw_message or fact.raw_code
    return f"The gateway refused the Level {fact.level} data{f' ({said})' if said else ''}: sent without them"


def _unknown(what: str) -> Words:
    return lambda fact: (
        f"No answer about the {what} ({_plain(fact.reason)}): nothing is sent again, the gateway is asked "
        f"at {fact.next_query_at:%H:%M:%S}"
    )


def _fired(fact: sch.PaymentSchedulerFired) -> str:
    asked = "asked for" if fact.cause == "ASKED" else "planned"
    at = f"{fact.planned_at:%Y-%m-%d %H:%M} UTC"
    said = f"Run {fact.run_id} for what is due by {fact.run_date}, {asked} at {at}"
    if fact.late:
        said += f", late{f', and for {fact.missed} that were missed' if fact.missed else ''}"
    return said + (f"; then {fact.next_run_at:%Y-%m-%d %H:%M} UTC" if fact.next_run_at else "; the last one")


def _credited(fact: cm.CreditMemoPosted) -> str:
    about = f" for invoice {fact.reference_invoice_id}" if fact.reference_invoice_id else ""
    return f"Credit memo {fact.number} of {fact.total} posted{about}: {_plain(fact.source_action)}"


def _asked_back(fact: ref.RefundRequested) -> str:
    source = fact.payment_id and f" of payment {fact.payment_id}"
    why = _plain(fact.reason_code)
    return f"Refund {fact.number} of {fact.amount}{source or ''} asked of {fact.gateway_id}: {why}"


def _described(fact: Any) -> str:
    told = ", ".join(f"{name} {value}" for name, value in sorted(fact.custom_fields.items()))
    return f"Custom fields: {told or 'none any more'}"


def _planned(fact: ro.RefundPlanMade) -> str:
    if not fact.selected:
        return f"No payment can give {fact.refund_target} back; {fact.leftover} stays open credit"
    parts = ", ".join(f"{one.refund} from payment {one.payment_id}" for one in fact.selected)
    settled = fact.settled_open_balance
    first = f"; {settled} settles what is open" if settled.amount_minor else ""
    return f"Planned to give {fact.refund_target} back: {parts}{first}; {fact.leftover} stays open credit"


def _fell_back(fact: ro.RefundLegFellBack) -> str:
    before, now = _plain(fact.from_option), _plain(fact.to_option)
    return f"{fact.amount} cannot go back by {before} ({fact.reason}): now {now}"


def _received(fact: pay.ExternalPaymentRecorded) -> str:
    by = _plain(fact.instrument)
    return f"Payment {fact.number} of {fact.amount} received by {by} on {fact.received_on}: {fact.reference}"


def _sent_away(fact: tra.PaymentTransferReserved) -> str:
    aim = f", for its invoice {fact.invoice_id}" if fact.invoice_id else ""
    return f"{fact.amount} set aside for account {fact.to_account_id}{aim}"


def _paid_out(fact: po.PaymentSettledByGateway) -> str:
    exchanged = f", as {fact.settled}" if fact.settled != fact.amount else ""
    excess = f"; {fact.excess} too much" if fact.excess.amount_minor else ""
    fee = f", less {fact.fee} of fees" if fact.fee.amount_minor else ""
    return f"Its gateway has paid {fact.amount} out{exchanged}{fee}, with payout {fact.payout_id}{excess}"


def _line(fact: po.PayoutLineReported) -> str:
    fee = f" ({fact.gross} less {fact.fee})" if fact.fee.amount_minor else ""
    charged = f", charged as {fact.charged}" if fact.charged else ""
    named = fact.gateway_ref or fact.merchant_reference or "nothing"
    return (
        f"A line of payout {fact.payout_id}: {_plain(fact.type)} of {fact.net}{fee}{charged}, naming {named}"
    )


def _completed(fact: po.PayoutCompleted) -> str:
    differs = f", {fact.difference} short of the payout" if fact.difference.amount_minor else ""
    return f"All {fact.lines} lines are here: {fact.total}{differs}"


def _paid_in(fact: po.PayoutPaidIn) -> str:
    differs = f", {fact.difference} off" if fact.difference.amount_minor else ""
    return f"The bank has it: {fact.amount} on {fact.booked_on}{differs}"


def _intervals(intervals: retry.RetryIntervals) -> str:
    values = ", ".join(f"{value}" for value in intervals.values)
    unit = intervals.unit.lower().removesuffix("s" if intervals.values == (1,) else "")
    how = "every" if intervals.type == "FIXED" else "after"
    return f"{how} {values} {unit}, at most {intervals.attempts} times"


def _rules(definition: retry.RetryDefinition) -> str:
    """What a rule set says, rule by rule."""
    said = [
        f"{' / '.join(filter(None, (rule.category, rule.gateway_id, rule.raw_code)))} "
        f"{_intervals(rule.intervals)}"
        for rule in definition.rules
    ]
    last = "; the last time with another method" if definition.use_alternate_method else ""
    return "; ".join([*said, f"everything else {_intervals(definition.intervals)}"]) + last


def _new_default(fact: retry.DefaultRetryRuleSetChanged) -> str:
    before = f" (was {fact.previous})" if fact.previous else ""
    if fact.rule_set_id is None:
        return f"Failed collections have no default rule set any more{before}"
    return f"Failed collections are tried again by the rule set {fact.rule_set_id}{before}"


def _of_group(fact: retry.RetriesOfGroupDecided) -> str:
    said = {True: "are tried again", False: "are not tried again", None: "are tried again as everybody's"}
    by = f", by the rule set {fact.rule_set_id}" if fact.rule_set_id else ""
    return f"Failed collections of the group {fact.account_group} {said[fact.retried]}{by}"


def _retry_planned(fact: retrying.ItemRetryScheduled) -> str:
    by = f"rule {fact.rule.number}" if fact.rule.number else f"rule set {fact.rule.rule_set_id}"
    other = ", another than the one that failed" if fact.is_alternate else ""
    why = "; ".join(fact.why)
    return (
        f"Tried again at {fact.at:%Y-%m-%d %H:%M:%S} with method {fact.method_id}{other}: attempt "
        f"{fact.attempt} of {fact.max} by {by} (level {fact.rule.match_level}); {why}"
    )


def _noticed(fact: retrying.DunningNoticed) -> str:
    last = ", which is the last attempt" if fact.hint == "WARN" else ""
    return (
        f"{fact.amount} could not be collected ({_plain(fact.category)}), to be told to the customer "
        f"({_plain(fact.hint)}): tried again at {fact.next_attempt_at:%Y-%m-%d %H:%M}{last}"
    )


def _recovered(fact: retrying.CollectionRecovered) -> str:
    by = "by an automatic retry" if fact.by == "RETRY" else "by hand, or by news that came late"
    since = f"{fact.first_failed_at:%Y-%m-%d}"
    return f"{fact.amount} recovered {by}, after {fact.attempts} attempts since {since}"


_SAID: dict[type[Any], Words] = {
    acc.AccessDenied: lambda f: f"{f.actor_id} was not let do {f.action}: {f.message}",
    acc.ApiKeyCreated: lambda f: f"API key {f.name} given to {f.actor_id}: {', '.join(map(_plain, f.roles))}",
    acc.ApiKeyUsed: lambda f: f"Signed in with, in the hour of {f.used_at:%Y-%m-%d %H:%M}",
    inv.InvoicePosted: _posted,
    inv.InvoiceDrafted: _written("Draft of"),
    inv.InvoiceRevised: _written("Revised draft of"),
    inv.InvoiceDraftCanceled: lambda f: f"Draft given up{f': {f.reason}' if f.reason else ''}",
    inv.InvoiceDueDateExtended: lambda f: f"Due on {f.due_date} instead of {f.previous}",
    inv.InvoiceWrittenOff: _written_off,
    inv.InvoiceWriteOffReversed: lambda f: f"Write-off of {f.amount} taken back: it is owed again",
    inv.InvoiceVoided: _voided_invoice,
    inv.InvoiceLocked: lambda f: f"Held by {f.by}",
    inv.InvoiceUnlocked: lambda f: f"No longer held by {f.by}",
    inv.InvoiceExcludedFromPayments: lambda f: f"Not to be collected: {f.reason}",
    dm.DebitMemoPosted: _debited,
    dm.DebitMemoInvoiced: lambda f: f"Carried by invoice {f.invoice_id}",
    dm.DebitMemoVoided: lambda f: f"Debit memo voided{f': {f.reason}' if f.reason else ''}",
    per.AccountingPeriodOpened: _period("is open"),
    per.AccountingPeriodClosed: _period("closed"),
    per.AccountingPeriodReopened: _period("open again"),
    inv.InvoicePaymentApplied: _settling("Payment", "applied", "to"),
    inv.InvoicePaymentUnapplied: _settling("Payment", "taken off", "from"),
    inv.InvoiceCreditApplied: _settling("Credit memo", "applied", "to"),
    inv.InvoiceCreditUnapplied: _settling("Credit memo", "taken off", "from"),
    inv.InvoiceSettlementStatusChanged: lambda f: f"Now {_plain(f.status)} (was {_plain(f.previous)})",
    inv.InvoiceSettled: lambda f: f"Settled in full on {f.full_settlement_date}",
    inv.InvoiceReopened: lambda f: f"Open again: {f.balance} to pay",
    inv.NegativeInvoiceLinesConverted: lambda f: (
        f"Negative lines of {f.total} became credit memo {f.credit_memo_id}, {f.balance} open"
    ),
    pay.PaymentRequested: _requested,
    pay.PaymentProcessed: lambda f: (
        f"{f.processed_amount} captured, told by {_plain(f.source)}{', late' if f.late else ''}"
    ),
    pay.PaymentFailed: _failed("Payment"),
    pay.PaymentEnhancedDataReduced: _reduced,
    pay.PaymentEnhancedDataRejected: _sent_without_data,
    auth.AuthorizationEnhancedDataReduced: _reduced,
    auth.AuthorizationEnhancedDataRejected: _sent_without_data,
    pay.PaymentOutcomeUnknown: _unknown("payment"),
    pay.ExternalPaymentRecorded: _received,
    pay.PaymentApplied: _spending("Applied", "to", "unapplied"),
    pay.PaymentUnapplied: _spending("Taken off", "from", "unapplied"),
    pay.PaymentApplicationFailed: lambda f: (
        f"Only {f.applied} of {f.intended} could be applied to invoice {f.invoice_id}: {f.code}"
    ),
    pay.RefundReservedOnPayment: lambda f: f"{f.amount} set aside for refund {f.refund_id}",
    pay.RefundReservationReleased: lambda f: f"{f.amount} no longer set aside for refund {f.refund_id}",
    pay.RefundAppliedToPayment: lambda f: f"{f.amount} given back by refund {f.refund_id}",
    pay.RefundReversedOnPayment: lambda f: f"Refund {f.refund_id} came back: {f.amount} is here again",
    pay.ChargebackHoldRaised: lambda f: (
        f"{f.held}, not refunded yet, is held for dispute {f.dispute_id} as well"
    ),
    pay.PaymentCanceled: lambda f: f"Payment of {f.amount} canceled{f': {f.reason}' if f.reason else ''}",
    tra.PaymentTransferReserved: _sent_away,
    tra.PaymentTransferReceived: lambda f: (
        f"{f.amount} received from account {f.from_account_id}, of its payment {f.from_payment_id}"
    ),
    tra.PaymentTransferRefused: lambda f: (
        f"{f.amount} of account {f.from_account_id} not taken: {f.message} ({f.code})"
    ),
    tra.PaymentBalanceTransferred: lambda f: (
        f"{f.amount} went to account {f.to_account_id}"
        f"{f', for its invoice {f.invoice_id}' if f.invoice_id else ''}"
    ),
    tra.PaymentTransferReleased: lambda f: (
        f"{f.amount} stays here: account {f.to_account_id} did not take it, {f.message} ({f.code})"
    ),
    tra.PaymentTransferRecalled: lambda f: (
        f"{f.amount} asked back from account {f.to_account_id}{f': {f.reason}' if f.reason else ''}"
    ),
    tra.PaymentTransferGivenBack: lambda f: f"{f.amount} went back to account {f.to_account_id}",
    tra.PaymentTransferKept: lambda f: f"{f.amount} not given back to account {f.to_account_id}: {f.message}",
    tra.PaymentTransferReturned: lambda f: f"{f.amount} came back from account {f.from_account_id}",
    tra.PaymentTransferRecallRefused: lambda f: (
        f"Account {f.from_account_id} keeps {f.amount}: {f.message} ({f.code})"
    ),
    cm.CreditMemoPosted: _credited,
    cm.CreditMemoApplied: _spending("Applied", "to", "balance"),
    cm.CreditMemoUnapplied: _spending("Taken off", "from", "balance"),
    cm.CreditMemoRefundReserved: lambda f: f"{f.amount} set aside for refund {f.refund_id}",
    cm.CreditMemoRefundReleased: lambda f: f"{f.amount} no longer set aside for refund {f.refund_id}",
    cm.RefundAppliedToCreditMemo: lambda f: f"{f.amount} paid out by refund {f.refund_id}",
    cm.RefundReversedOnCreditMemo: lambda f: f"Refund {f.refund_id} came back: {f.amount} open again",
    ref.RefundRequested: _asked_back,
    ref.RefundProcessed: lambda f: (
        f"{f.amount} refunded, told by {_plain(f.source)}{', late' if f.late else ''}"
    ),
    ref.RefundFailed: _failed("Refund"),
    ref.RefundOutcomeUnknown: _unknown("refund"),
    ref.RefundReversed: lambda f: f"Refund of {f.amount} came back{f': {f.raw_code}' if f.raw_code else ''}",
    ro.RefundOrchestrationRequested: lambda f: (
        f"Credit memo {f.credit_memo_id} of {f.amount} shall go back to who paid "
        f"invoice {f.original_invoice_id}"
    ),
    ro.RefundPlanMade: _planned,
    ro.RefundPlanExecuted: lambda f: f"Plan carried out: {f.credit_applied} of credit applied to the invoice",
    ro.RefundLegRequested: lambda f: (
        f"Leg {f.leg_no}: {f.amount} from {_plain(f.source_kind)} {f.source_id}, by {_plain(f.option)}, "
        f"attempt {f.attempt_no}"
    ),
    ro.RefundLegSucceeded: lambda f: f"Leg {f.leg_no}: {f.amount} refunded",
    ro.RefundLegFailed: lambda f: f"Leg {f.leg_no}: {f.amount} not refunded, {_plain(f.category)}",
    ro.RefundLegFellBack: _fell_back,
    inv.InvoiceScheduled: lambda f: f"Collected by schedule {f.payment_schedule_id}",
    inv.InvoiceScheduleDeferred: lambda f: f"Collected with the account's others: cut at {f.cut_at:%H:%M}",
    inv.ScheduleCreationSkipped: lambda f: f"Not scheduled: {_plain(f.reason)}",
    ps.PaymentScheduleCreated: lambda f: (
        f"Schedule {f.number} of {f.total_requested} made, {_plain(f.origin)}"
        f"{f', by policy {f.policy_id}' if f.policy_id else ''}"
    ),
    ps.PaymentScheduleItemAdded: lambda f: (
        f"{f.item.number}: {f.item.requested} to be collected on {f.item.target_processing_date}"
        f"{f', {_plain(f.item.warning)}' if f.item.warning else ''}"
    ),
    ps.PaymentScheduleItemChanged: lambda f: (
        f"{f.item.number}: now {f.item.requested} on {f.item.target_processing_date}"
    ),
    ps.PaymentScheduleItemResized: lambda f: (
        f"Only {f.requested} of {f.previous} is still owed, and is collected"
    ),
    ps.PaymentScheduleItemClaimed: lambda f: (
        f"Attempt {f.attempt_no}: {f.amount} asked of {f.gateway_id} with method {f.method_id}"
    ),
    ps.PaymentScheduleItemProcessed: lambda f: f"{f.amount} collected by payment {f.payment_id}",
    ps.PaymentScheduleItemApplied: lambda f: f"{f.applied} applied, {f.unapplied} left on the payment",
    ps.PaymentScheduleItemPaymentFailed: lambda f: (
        f"Attempt {f.attempt_no} failed: {_plain(f.category)}{f', {f.raw_code}' if f.raw_code else ''}"
    ),
    ps.PaymentScheduleItemCanceled: lambda f: f"{f.canceled} is not collected: {_plain(f.reason)}",
    ps.PaymentScheduleItemPaymentCanceled: lambda f: (
        f"{f.taken_back} that was collected was given up by hand: {f.canceled} is not collected"
    ),
    account.AccountCustomFieldsSet: _described,
    inv.InvoiceCustomFieldsSet: _described,
    ps.PaymentScheduleCustomFieldsSet: _described,
    ps.PaymentScheduleItemCustomFieldsSet: _described,
    ps.PaymentScheduleItemSkipped: lambda f: f"Left out until {f.until}: {f.reason}",
    sch.PaymentSchedulerCreated: lambda f: f"Scheduler {f.name} made: {in_words(f.timing)}",
    sch.PaymentSchedulerUpdated: lambda f: f"Scheduler {f.name} changed: {in_words(f.timing)}",
    sch.PaymentSchedulerActivated: lambda f: f"Active: it fires at {f.next_run_at:%Y-%m-%d %H:%M} UTC",
    sch.PaymentSchedulerDeactivated: lambda f: (
        "It rests: it has no run to come"
        if f.cause == "NO_MORE_RUNS"
        else f"It rests{f': {f.reason}' if f.reason else ''}"
    ),
    sch.PaymentSchedulerCanceled: lambda f: f"Ended{f': {f.reason}' if f.reason else ''}",
    sch.PaymentSchedulerFired: _fired,
    link.PaymentLinkCreated: lambda f: (
        f"A link for {f'up to {f.amount}' if f.amount else 'what is owed'} was made, "
        f"{'for one use' if f.single_use else 'for any number of payments'}"
        f"{f', until {f.expires_at:%Y-%m-%d %H:%M}' if f.expires_at else ''}"
    ),
    link.PaymentLinkOpened: lambda f: "Somebody opened the link",
    link.PaymentLinkPaymentBegun: lambda f: f"A guest pays {f.amount} by the link",
    link.PaymentLinkPaymentFailed: lambda f: f"The guest's payment failed: {f.result_code}",
    link.PaymentLinkPaid: lambda f: f"{f.amount} came by the link{'; it is used up' if f.used_up else ''}",
    link.PaymentLinkExpired: lambda f: f"The link is over: {_plain(f.reason)}",
    pay.PaymentBegunByLink: lambda f: f"A guest pays by the link {f.payment_link_id}",
    ro.RefundOrchestrationCompleted: lambda f: (
        f"{_plain(f.status).capitalize()}: {f.refunded} refunded, {f.open_credit} open credit"
    ),
    po.SettlementReportOpened: lambda f: (
        f"Settlement report {f.source} of {f.gateway_id} ({_plain(f.format)}): {f.rows} rows"
    ),
    po.SettlementReportClosed: lambda f: (
        f"Imported: {f.accepted} accepted, {f.rejected} rejected, {f.unreadable} unreadable"
    ),
    po.PayoutReported: lambda f: (
        f"{f.gateway_id} pays {f.amount} out ({f.payout_ref}), in {f.lines} lines"
        f"{f', to arrive on {f.arrives_on}' if f.arrives_on else ''}"
    ),
    po.PayoutLineCounted: lambda f: f"Line {f.lines}: {f.net}, {f.total} so far",
    po.PayoutCompleted: _completed,
    po.PayoutPaidIn: _paid_in,
    po.PayoutLineReported: _line,
    po.PayoutLineMatched: lambda f: (
        f"It is {_plain(f.target_kind)} {f.target_id}, by {_plain(f.by)}"
    ),
    po.PayoutLineUnmatched: lambda f: f"In suspense: {f.reason}",
    po.PayoutLineBooked: lambda f: (
        f"Booked as {_plain(f.type)}: {f.gross - f.fee}{f', {f.note}' if f.note else ''}"
    ),
    po.BankLineReported: lambda f: f"The bank has {f.amount} of {f.booked_on}: {f.text}",
    po.BankLineMatched: lambda f: f"It is payout {f.payout_id}, by {_plain(f.by)}",
    po.BankLineUnmatched: lambda f: f"No payout fits: {f.reason}",
    po.BankLineSetAside: lambda f: f"No payout, says a person: {f.note}",
    po.PaymentSettledByGateway: _paid_out,
    po.PaymentTakenBackByGateway: lambda f: (
        f"Its gateway has {'taken' if f.amount.amount_minor > 0 else 'given back'} "
        f"{f.amount if f.amount.amount_minor > 0 else -f.amount} for a {_plain(f.type)}, "
        f"with payout {f.payout_id}"
    ),
    po.RefundSettledByGateway: lambda f: (
        f"Its gateway has {'taken' if f.amount.amount_minor > 0 else 'given back'} "
        f"{f.amount if f.amount.amount_minor > 0 else -f.amount}, with payout {f.payout_id}"
    ),
    retry.RetryRuleSetCreated: lambda f: f"Rule set {f.name} drafted: {_rules(f.definition)}",
    retry.RetryRulesDefined: lambda f: f"Version {f.definition_version}: {_rules(f.definition)}",
    retry.RetryRuleSetActivated: lambda f: "The rule set can be used",
    retry.RetryRuleSetDeactivated: lambda f: (
        f"No new collection is tried again by it{f': {f.reason}' if f.reason else ''}"
    ),
    retry.DefaultRetryRuleSetChanged: _new_default,
    retry.RetriesOfGroupDecided: _of_group,
    retrying.ItemRetryScheduled: _retry_planned,
    retrying.ItemRetryPostponed: lambda f: (
        f"Attempt {f.attempt} waits{f' until {f.at:%Y-%m-%d %H:%M}' if f.at else ''}: {_plain(f.reason)}"
    ),
    retrying.ItemRetrySkipped: lambda f: f"Attempt {f.attempt} left out: {f.reason}",
    retrying.ItemRetriesExtended: lambda f: f"{f.attempts} more attempts allowed: {f.reason}",
    retrying.ItemRetriesStopped: lambda f: f"Not tried again: {f.reason}",
    retrying.ItemRetriesExhausted: lambda f: (
        f"No attempt left after {f.attempts} ({_plain(f.reason)}): {'; '.join(f.why)}"
    ),
    retrying.DunningNoticed: _noticed,
    retrying.CollectionRecovered: _recovered,
    retrying.CollectionFailed: lambda f: (
        f"{f.amount} given up after {f.attempts} attempts, {_plain(f.reason)}: what it is for may be withheld"
    ),
}  # fmt: skip

_TOLD = "number type status amount total processed_amount refund_target category raw_code".split()
_MORE = "reason reason_code cause operation invoice_id payment_id refund_id credit_memo_id".split()


def _by_fields(fact: Any) -> str:
    """Its name, and of its fields those that a person asks for first."""
    told = [
        _word(name, value) for name in (*_TOLD, *_MORE) if (value := getattr(fact, name, None)) is not None
    ]
    name = type(fact).__name__
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
    return f"{words.capitalize()}: {', '.join(told)}" if told else words.capitalize()


def _word(name: str, value: Any) -> str:
    if isinstance(value, Money):
        return str(value)
    if name.endswith("_id"):
        return f"{name.removesuffix('_id').replace('_', ' ')} {value}"
    return _plain(value) if name in ("type", "status", "cause") else f"{value}"


def _plain(value: Any) -> str:
    """`REFUND_ORCHESTRATION` as a person writes it."""
    return str(value).replace("_", " ").lower()
