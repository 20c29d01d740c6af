"""What a network advises on a card holds for all that it is asked for, whoever asks, until it is charged."""

from __future__ import annotations

from dataclasses import replace

from events.card import CardAdviceLifted, CardAdvised
from events.retrying import ItemRetryPostponed
from events.shapes import Outcome
from services.retries.retrying import RetryItemNow
from services.tenants.tenant_settings import ChangeTenantSettings
from tests.journey import SUCCESS
from tests.retrying import NO_FUNDS, fixed
from tests.unit.test_card_caps import DAY, HOUR, VISA, Shop, T, collected
from tests.unit.test_retry_whatif import policy, replayed

WAIT = replace(NO_FUNDS, network_advice="25", retry_after_seconds=24 * 3600)
NEVER = replace(NO_FUNDS, never_retry=True, hard=True, network_advice="03")
STOPPED = replace(NEVER, raw_code="R0")


def refused(j: Shop, outcome: Outcome) -> tuple[str, str]:
    item = j.owed(j.visa)
    j.collect()
    j.answered(outcome)
    return item


def test_a_card_that_is_never_to_be_tried_again_is_tried_for_nothing_else() -> None:
    j = Shop()
    refused(j, NEVER)
    other = j.owed(j.visa)
    j.when(collected(other)).then_rejected("RETRY_NOT_POSSIBLE")
    assert "never to be tried again (03)" in j.outcome["message"]
    mine = j.owed(j.another())
    j.when(collected(mine)).then_rejected("RETRY_NOT_POSSIBLE")
    assert [fact.not_before for fact in j.of(CardAdvised)] == [None]


def test_a_payment_that_the_customer_has_stopped_says_nothing_of_others() -> None:
    j = Shop()
    refused(j, STOPPED)
    assert j.of(CardAdvised) == []
    j.when(collected(j.owed(j.visa))).then_accepted()


def test_a_tenant_may_write_down_why_it_is_tried_all_the_same() -> None:
    j = Shop()
    refused(j, NEVER)
    j.when(ChangeTenantSettings({"never_retry_override": "the issuer has told us to"})).then_accepted()
    j.when(collected(j.owed(j.visa))).then_accepted()


def test_a_card_that_was_charged_may_be_charged_again() -> None:
    """The customer pays with it himself: its network has changed its mind."""
    j = Shop()
    refused(j, NEVER)
    j.request("P", "5.00", method=j.visa)
    j.settle("P", SUCCESS)
    assert len(j.of(CardAdviceLifted)) == 1
    j.when(collected(j.owed(j.visa))).then_accepted()


def test_what_is_planned_with_it_is_given_up() -> None:
    j = Shop()
    planned = refused(j, NO_FUNDS)
    refused(j, NEVER)
    j.look_at(planned).at(T + HOUR).run_due()
    assert (j.item.status, j.item.retry.ended) == ("FAILED", "NO_USABLE_METHOD")


def test_what_is_planned_with_it_goes_on_with_another() -> None:
    j = Shop(alternate=True)
    planned = refused(j, NO_FUNDS)
    other = j.saved(replace(VISA, token_ref="tok_w", fingerprint="fp-9"))
    refused(j, NEVER)
    j.look_at(planned).at(T + HOUR).run_due()
    assert j.item.retry.planned
    assert (j.item.retry.planned.method_id, j.item.retry.planned.is_alternate) == (other, True)


def test_a_wait_holds_for_whatever_is_asked_of_the_card() -> None:
    j = Shop()
    planned = refused(j, NO_FUNDS)
    refused(j, WAIT)
    j.look_at(planned).at(T + HOUR).run_due()
    assert [(fact.at, fact.reason) for fact in j.of(ItemRetryPostponed)] == [(T + DAY, "NETWORK_ADVICE")]
    other = j.owed(j.visa, "7.00")
    j.when(collected(other)).then_rejected("RETRY_NOT_POSSIBLE")
    assert "its network says to wait (25)" in j.outcome["message"]
    j.look_at(planned)
    j.when(RetryItemNow(*planned, "he called")).then_rejected("RETRY_NOT_POSSIBLE")
    j.at(T + DAY)
    j.when(collected(other)).then_accepted()


def test_what_was_decided_on_advice_is_decided_again_the_same() -> None:
    j = Shop(alternate=True)
    first, second = refused(j, NO_FUNDS), refused(j, WAIT)
    j.look_at(first).at(T + HOUR).run_due()
    j.run_processes()
    j.at(T + DAY).run_due()
    for item, outcome in ((first, NEVER), (second, NO_FUNDS)):
        j.look_at(item).answered(outcome)
    for _ in range(5):
        j.at(j.time + DAY).run_due()
        j.run_processes()
    seen = replayed(j)
    assert (seen.decided > 3, seen.diverged) == (True, 0)


def test_another_policy_would_have_kept_to_it_too() -> None:
    """Item by item: what the one's later attempt would have told of the card holds for the other's."""
    j = Shop()
    first = refused(j, NO_FUNDS)
    j.at(T + HOUR / 2)
    second = refused(j, NO_FUNDS)
    j.at(T + HOUR).run_due()
    j.look_at(first).answered(NEVER)
    j.at(T + 2 * HOUR).run_due()
    assert j.look_at(second).item.retry.ended == "NO_USABLE_METHOD"
    would = replayed(j, policy(fixed(2, "HOURS", 3)))
    made = [told.by_currency["USD"].attempts for told in (would.history, would.simulated)]
    assert made == [1, 1], "the other item's was left out"
