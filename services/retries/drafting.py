"""A rule set that is only asked about: checked as the command that makes one is, and kept nowhere."""

from __future__ import annotations

from itertools import count
from typing import Literal

from pydantic import TypeAdapter, ValidationError, with_config

from events.frozen import frozen
from services.commands import STRICT, Id, rejection
from services.retries.defining import CreateRetryRuleSet
from services.retries.making import HardDeclinePolicy, Making, StaggerBasis
from services.retries.whatif import Policy


@with_config(STRICT)
@frozen
class Drafted:
    """A question about a rule set, with the rule set in it; what is left out is as the settings are."""

    rule_set: CreateRetryRuleSet
    stagger_basis: StaggerBasis | None = None
    hard_decline_policy: HardDeclinePolicy | None = None
    network_caps: Literal["KEEP", "IGNORE"] = "KEEP"
    """IGNORE: the rules alone decide, and what breaks a cap is counted."""
    account_id: Id | None = None
    """Of this account only."""

    def policy(self, stagger_basis: str) -> Policy:
        """`stagger_basis` is the tenant's setting.  Raises what making the rule set would."""
        numbers = count(1)
        basis = self.stagger_basis or stagger_basis
        made = Making(lambda _: f"draft-{next(numbers)}", basis, "rule_set")
        asked = self.rule_set
        return Policy(
            made.definition(asked.intervals, asked.rules, asked.use_alternate_method, asked.window),
            self.stagger_basis,
            self.hard_decline_policy,
            self.network_caps != "IGNORE",
        )


DRAFTED = TypeAdapter(Drafted)


def drafted(body: bytes) -> Drafted:
    """Of one JSON object.  Raises `Rejected`, which names the field."""
    try:
        return DRAFTED.validate_json(body)
    except ValidationError as invalid:
        raise rejection(invalid) from invalid
