"""What follows the failures of a schedule's item (on its stream, `ps-{id}`): attempts to come, and dunning.

Dunning facts are for those who write to customers, or suspend what they buy: Tender itself does neither.
"""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact, upcasts
from events.frozen import frozen
from events.money import Money


@frozen
class MatchedRule:
    """The rule that a failure met, in the version of its set that the cycle keeps to."""

    rule_set_id: str
    definition_version: int
    number: str | None
    """None where the set's own intervals were used."""
    match_level: int
    """1: category, gateway and code; 2: category and gateway; 3: category and code; 4: category; 5: none."""


@frozen
class RetryTerms:
    """Settings as they were when the cycle began."""

    interval_basis: str
    """FIRST_FAILURE or PREVIOUS_ATTEMPT."""
    hard_decline_policy: str
    """SKIP_TO_ALTERNATE, FOLLOW_RULES or FAIL."""
    allows_never_retry: bool
    """The tenant has written down why codes that are never to be retried may be."""


@frozen
class PreviousFailure:
    category: str
    raw_code: str | None
    hard: bool
    gateway_id: str
    """The gateway that refused it."""


@fact("payment_schedule.item_retry_scheduled.v1")
class ItemRetryScheduled:
    """A failed item will be tried again."""

    item_id: str
    cycle_no: int
    """A cycle is what follows one first failure: a bank's return begins the next."""
    attempt: int
    """Of the cycle's retries, from 1 on."""
    max: int
    """How many retries of the cycle there are at most."""
    at: datetime
    """When it is tried."""
    rule: MatchedRule
    terms: RetryTerms
    method_id: str
    """The saved payment method that it is made with."""
    is_alternate: bool
    previous: PreviousFailure
    """The failure that it follows."""
    first_failed_at: datetime
    cause: str
    """AUTOMATIC, EXTENDED, or REARMED: outside the cap."""
    after_hard_decline: bool
    """If this attempt fails there is no other."""
    why: tuple[str, ...]


@fact("payment_schedule.item_retry_postponed.v1")
class ItemRetryPostponed:
    """It was due, and could not be made: the account or an invoice is held, a gateway is silent, or the card
    was tried for something else meanwhile, as often as its network allows."""

    item_id: str
    attempt: int
    at: datetime | None
    """None: once the account's hold is released."""
    reason: str


@fact("payment_schedule.item_retry_skipped.v1")
class ItemRetrySkipped:
    """A person left out the attempt that was next; it counts as made."""

    item_id: str
    attempt: int
    reason: str


@fact("payment_schedule.item_retries_extended.v1")
class ItemRetriesExtended:
    """A person allowed more attempts than the rules do."""

    item_id: str
    attempts: int
    reason: str


@fact("payment_schedule.item_retries_stopped.v1")
class ItemRetriesStopped:
    """A person ended it."""

    item_id: str
    reason: str


@fact("payment_schedule.item_retries_exhausted.v1")
class ItemRetriesExhausted:
    """There is no automatic attempt left."""

    item_id: str
    cycle_no: int
    attempts: int
    """Automatic retries that were made."""
    reason: str
    """EXHAUSTED, HARD_DECLINE, NEVER_RETRY, VALIDATION_FAILURE or NO_USABLE_METHOD."""
    rule: MatchedRule
    terms: RetryTerms
    why: tuple[str, ...]


@frozen
class RetryTried:
    """The automatic retry whose outcome a fact is about, and what it was made for."""

    attempt: int
    """Of its cycle, from 1 on."""
    category: str
    """Of the failure that it followed."""
    gateway_id: str
    rule_set_id: str
    rule_number: str | None
    method_id: str
    is_alternate: bool


@frozen
class OfCollection:
    """What every dunning fact says of the item, and of what was tried last."""

    account_id: str
    account_group: str | None
    """Of the account, as it was then."""
    payment_schedule_id: str
    item_id: str
    invoice_ids: tuple[str, ...]
    amount: Money
    attempts: int
    """Made so far, the first and those by hand among them."""
    retries: int
    """Automatic ones of this cycle, made so far."""
    category: str
    """Of the last failure."""
    gateway_id: str
    rule_set_id: str | None
    rule_number: str | None
    tried: RetryTried | None
    """The automatic retry that has just been answered; None where it was another attempt, or none."""


@fact("dunning.noticed.v2")
class DunningNoticed(OfCollection):
    """A collection failed and will be tried again."""

    stage: str
    """FIRST_FAILURE, RETRY_FAILED, or LAST_ATTEMPT_NEXT: a retry failed, and one is left."""
    hint: str
    """REMIND, or WARN where the next attempt is the last: how urgently the customer should hear of it."""
    next_attempt_at: datetime
    """When it is tried again."""
    raw_code: str | None


@fact("collection.recovered.v2")
class CollectionRecovered(OfCollection):
    """What had failed before was collected."""

    payment_id: str
    by: str
    """RETRY, or HAND: an attempt that a person asked for, or a success that came late."""
    hint: str
    """REINSTATE: it had been given up, and what was withheld may be given again.  Else NONE."""
    first_failed_at: datetime


@fact("collection.failed.v2")
class CollectionFailed(OfCollection):
    """Nothing more is done about it unless somebody does something."""

    reason: str
    """Of `ItemRetriesExhausted`, or RETRIES_OFF or STOPPED."""
    hint: str
    """SUSPEND: what was not paid for may be withheld."""
    raw_code: str | None
    stage: str
    """FIRST_FAILURE or RETRY_FAILED; DECIDED where no attempt has failed just now: a person ended it, or
    settings or methods have changed."""


def _group_was_not_told(fact: dict[str, object]) -> dict[str, object]:
    """Version 1 did not say which group the account was in."""
    return {**fact, "account_group": None}


for _topic in ("dunning.noticed", "collection.recovered", "collection.failed"):
    upcasts(f"{_topic}.v1", to=f"{_topic}.v2")(_group_was_not_told)


RetryingEvent = (
    ItemRetryScheduled
    | ItemRetryPostponed
    | ItemRetrySkipped
    | ItemRetriesExtended
    | ItemRetriesStopped
    | ItemRetriesExhausted
    | DunningNoticed
    | CollectionRecovered
    | CollectionFailed
)
