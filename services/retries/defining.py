"""Defining rule sets: each definition is a version, and one set is the default.

All sets of a tenant have one home, so that one command can put another default in the old one's place.
"""

from __future__ import annotations

from typing import Any

from events.ids import tenant_home
from events.retry import (
    DefaultRetryRuleSetChanged,
    RetriesOfGroupDecided,
    RetryDefinition,
    RetryRulesDefined,
    RetryRuleSetActivated,
    RetryRuleSetCreated,
    RetryRuleSetDeactivated,
)
from services.commands import FreeText, Id, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected, invalid_state, not_found
from services.retries.making import Intervals, Making, Rules, Window, about, as_given
from services.retries.rule_set import RetryRuleSet, RetryRuleSets, evolve, evolve_sets, sets_needed
from services.tenants import tenant_settings


@command("payments.retry_rule_set.create.v1")
class CreateRetryRuleSet:
    """A draft: nothing is tried again by it until it is active and the default."""

    name: FreeText
    intervals: Intervals
    """For failures that no rule is about, and for what rules leave out."""
    rule_set_id: Id | None = None
    """An id of the caller's own for it; without it, one is made."""
    description: FreeText | None = None
    use_alternate_method: bool = False
    """True: the last attempt is made with another of the account's methods, if it has one that can be
    charged."""
    rules: Rules = ()
    """Ways of their own for some failures; the more a rule names besides its category, the earlier it is
    asked."""
    window: Window | None = None


@command("payments.retry_rule_set.define_rules.v1")
class DefineRetryRules:
    """A new version of a set; what is left out stays as it is.

    With `add`, the rules come to those that are there, each in the place of one about the same failures.
    """

    rule_set_id: Id
    rules: Rules | None = None
    """The rules; without it, they stay as they are."""
    add: bool = False
    """True: the rules come to those that are there; else they take the place of all."""
    intervals: Intervals | None = None
    use_alternate_method: bool | None = None
    window: Window | None = None


@command("payments.retry_rule_set.activate.v1")
class ActivateRetryRuleSet:
    """Let failed collections be tried again by a rule set."""

    rule_set_id: Id


@command("payments.retry_rule_set.set_default.v1")
class SetDefaultRetryRuleSet:
    """New cycles begin under this set; the default before it is one no longer."""

    rule_set_id: Id


@command("payments.retry_rule_set.deactivate.v1")
class DeactivateRetryRuleSet:
    """Begin nothing more by a rule set; cycles that began by it end by it."""

    rule_set_id: Id
    reason: FreeText | None = None


@command("payments.retry_rule_set.decide_for_group.v1")
class DecideRetriesOfGroup:
    """How an account group's failed collections are retried: or not at all, or by a rule set of its own.

    What is left out is as for everybody; with nothing, the group has no way of its own any more.
    """

    account_group: Id
    retried: bool | None = None
    """Whether they are retried at all; without it, as the setting `retry_failed_payments` says."""
    rule_set_id: Id | None = None
    """The rule set by which they are; without it, the default."""


def create(states: States, command: CreateRetryRuleSet, context: Context) -> Changes:
    id = command.rule_set_id or context.new_id("retryset")
    if states.get(RetryRuleSet, id).status:
        raise Rejected("RULE_SET_EXISTS", f"the rule set {id} exists already")
    made = Making(context.number, tenant_settings.of(states, context)["stagger_basis"])
    definition = made.definition(
        command.intervals, command.rules, command.use_alternate_method, command.window
    )
    created = RetryRuleSetCreated(id, command.name, definition, command.description)
    return [Change(RetryRuleSet, id, created)]


def define(states: States, command: DefineRetryRules, context: Context) -> Changes:
    rule_set = _known(states, command.rule_set_id)
    before = rule_set.definition
    made = Making(context.number, tenant_settings.of(states, context)["stagger_basis"])
    intervals = made.intervals(command.intervals, "data.intervals") if command.intervals else before.intervals
    given = tuple(as_given(rule) for rule in before.rules)
    if command.rules is not None:
        fresh = {about(rule) for rule in command.rules}
        kept = [rule for rule in given if about(rule) not in fresh] if command.add else []
        given = (*kept, *command.rules)
    alternate = command.use_alternate_method
    after = RetryDefinition(
        intervals,
        before.use_alternate_method if alternate is None else alternate,
        made.rules(given, intervals, before.rules),
        made.window(command.window) or before.window,
    )
    if after == before:
        return []
    return [Change(RetryRuleSet, command.rule_set_id, RetryRulesDefined(rule_set.latest + 1, after))]


def activate(states: States, command: ActivateRetryRuleSet, context: Context) -> Changes:
    if _known(states, command.rule_set_id).status == "ACTIVE":
        return []
    return [Change(RetryRuleSet, command.rule_set_id, RetryRuleSetActivated())]


def set_default(states: States, command: SetDefaultRetryRuleSet, context: Context) -> Changes:
    rule_set = _known(states, command.rule_set_id)
    if rule_set.status != "ACTIVE":
        raise invalid_state("rule set", rule_set.status, ["ACTIVE"])
    before = states.get(RetryRuleSets, context.tenant).default_id
    if before == command.rule_set_id:
        return []
    return [_default(context, command.rule_set_id, before, "ASKED")]


def deactivate(states: States, command: DeactivateRetryRuleSet, context: Context) -> Changes:
    rule_set, id = _known(states, command.rule_set_id), command.rule_set_id
    if rule_set.status == "DRAFT":
        return []
    sets = states.get(RetryRuleSets, context.tenant)
    is_default, by_setting = (
        sets.default_id == id,
        tenant_settings.of(states, context)["retry_failed_payments"],
    )
    groups = [group for group in sets.groups if sets.of(group) == id and sets.retried(group, by_setting)]
    if groups or (is_default and by_setting):
        raise Rejected(
            "DEFAULT_RULE_SET_REQUIRED",
            "failed payments are retried by it: choose another default first",
            account_groups=groups[:20],
        )
    off = Change(RetryRuleSet, id, RetryRuleSetDeactivated(command.reason))
    return [off, _default(context, None, id, "DEACTIVATED")] if is_default else [off]


def decide_for_group(states: States, command: DecideRetriesOfGroup, context: Context) -> Changes:
    sets = states.get(RetryRuleSets, context.tenant)
    if command.rule_set_id is not None:
        rule_set = _known(states, command.rule_set_id)
        if rule_set.status != "ACTIVE":
            raise invalid_state("rule set", rule_set.status, ["ACTIVE"])
    if command.retried and (command.rule_set_id or sets.default_id) is None:
        raise Rejected("DEFAULT_RULE_SET_REQUIRED", "the group has no rule set, and there is no default")
    wanted = RetriesOfGroupDecided(command.account_group, command.retried, command.rule_set_id)
    none = RetriesOfGroupDecided(command.account_group, None, None)
    if sets.groups.get(command.account_group, none) == wanted:
        return []
    return [Change(RetryRuleSets, context.tenant, wanted)]


def _default(context: Context, id: str | None, before: str | None, cause: str) -> Change:
    return Change(RetryRuleSets, context.tenant, DefaultRetryRuleSetChanged(id, before, cause))


def _known(states: States, rule_set_id: str) -> RetryRuleSet:
    rule_set = states.get(RetryRuleSet, rule_set_id)
    if not rule_set.status:
        raise not_found("RULE_SET", rule_set_id)
    return rule_set


# -- needs and homes


def _needs(states: States, command: Any, context: Context) -> Needs:
    if command.rule_set_id is not None or isinstance(command, CreateRetryRuleSet):
        yield Need(RetryRuleSet, command.rule_set_id or context.new_id("retryset"))
    yield sets_needed(context)
    yield tenant_settings.needed(context)


def home(command: object, tenant: str) -> str:
    """That of the settings: a preset brings a rule set and switches retries on in one decision."""
    return tenant_home("settings", tenant)


SUBJECT = Subject(
    RetryRuleSet,
    evolve,
    (
        Rule(CreateRetryRuleSet, _needs, create, home),
        Rule(DefineRetryRules, _needs, define, home),
        Rule(ActivateRetryRuleSet, _needs, activate, home),
        Rule(SetDefaultRetryRuleSet, _needs, set_default, home),
        Rule(DeactivateRetryRuleSet, _needs, deactivate, home),
        Rule(DecideRetriesOfGroup, _needs, decide_for_group, home),
    ),
)
SETS = Subject(RetryRuleSets, evolve_sets)
