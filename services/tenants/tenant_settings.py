"""A tenant's settings: what is switched on, and the presets that set many at once.

A setting appears here when its behaviour exists; an unknown one is `UNKNOWN_FIELD`.
"""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, ClassVar, Literal, cast, get_args

from events.ids import tenant_home
from events.money import EXPONENTS, Money
from events.settings import TenantSettingsChanged
from services import zones
from services.commands import ID_PATTERN, Amount, command
from services.decision import Change, Changes, Context, Need, Needs, Rule, States, Subject
from services.errors import Rejected
from services.retries import caps, recommended
from services.retries.making import HardDeclinePolicy, StaggerBasis
from services.retries.rule_set import RetryRuleSets
from services.schedules import policy

FALLBACKS = ("RETRY", "OTHER_PAYMENT", "UNREFERENCED", "MANUAL", "OPEN_CREDIT")

APPLICATION_RULES = ("MATCH_ID", "MATCH_BALANCE", "OLDEST_INVOICE", "HIGHEST_BALANCE")

ACTIVE_SCHEDULERS_MAX = 1_000
"""However many a tenant wants to be active at once."""

TERM = re.compile(r"(?P<id>[A-Za-z0-9._:~-]{1,64})=(PERIOD_BASED|EOM_PLUS_X)\+(?P<days>[0-9]{1,4})")
"""`net14=PERIOD_BASED+14`."""
TERM_DAYS_MAX = 3650

DEFAULTS: dict[str, Any] = {
    "application_level": "INVOICE_LINE",
    "convert_negative_lines": False,
    "apply_converted_credit_to_source_invoice": False,
    "issue_refunds_and_settle_balances": False,
    "auto_apply_credits_to_posted_invoices": False,
    "auto_apply_payments_to_posted_invoices": False,
    "rule_based_application": False,
    "application_order": "PAYMENTS_FIRST",
    "application_rules": (),
    "small_balance_write_off": (),
    "offset_before_refund": "NONE",
    "refund_unapply_strategy": "FULL_THEN_REAPPLY",
    "refund_failure_fallback": ("RETRY", "OTHER_PAYMENT", "OPEN_CREDIT"),
    "refund_approval_threshold": None,
    "unreferenced_refund_approval": False,
    "unreferenced_refund_count_max": None,
    "unreferenced_refund_amount_max": (),
    "unreferenced_refund_days": 30,
    "refund_duplicate_charges": False,
    "unknown_outcome_poll": (30, 120, 600, 3600, 21600, 86400),
    "create_payment_schedules": False,
    "reduced_balance_policy": "CANCEL_ITEM",
    "schedule_cut_time": "23:00",
    "time_zone": "UTC",
    "active_schedulers_max": 30,
    "auto_promote_backup": False,
    "allow_cross_account": False,
    "level2_level3_data": False,
    "ship_from_postal_codes": (),
    "payment_terms": (),
    "share_payment_data_by_account": False,
    "retry_failed_payments": False,
    "stagger_basis": "FIRST_FAILURE",
    "hard_decline_policy": "SKIP_TO_ALTERNATE",
    "never_retry_override": None,
    "card_network_caps": caps.AS_NETWORKS_COUNT,
    "corporate_currency": None,
    "rate_source": None,
    "production": False,
}
"""A bare tenant.  `unknown_outcome_poll` is in seconds, from the moment an outcome became unknown; where
there is a `refund_approval_threshold`, refunds in other currencies than its own need an approval too, and so
does the word of payment operations on what became of a call.  Business dates are in `time_zone` (IANA),
`schedule_cut_time` is HH:MM there.  `small_balance_write_off` has an amount for a currency: what an
application leaves below it is written off.  `active_schedulers_max` is how many payment schedulers are
active at once.  To methods that the money did not come from, an account is paid at most
`unreferenced_refund_count_max` times, and for each currency named at most `unreferenced_refund_amount_max`,
in `unreferenced_refund_days`; with `unreferenced_refund_approval` a second person agrees to each.  With
`refund_duplicate_charges` a payment is given back that turns out to have arrived after all, once what it was
meant for was paid otherwise; above the threshold a person decides.  What
arrives, leaves and is invoiced says what it is worth in `corporate_currency`, at the rates that `rate_source`
has published (`payments.exchange_rates.publish.v1`).  Level 2 data say whence goods are shipped: by legal
entity in `ship_from_postal_codes`, written `emea=1017 AB`; `default` is of invoices that name none.
`payment_terms` say what the terms are that billing profiles name, written `net14=PERIOD_BASED+14`; `default`
is of invoices that neither name a term nor have a profile that does."""

PRESETS: dict[str, dict[str, Any]] = {
    "bare": dict(DEFAULTS),
    "recommended": {
        "create_payment_schedules": True,
        "reduced_balance_policy": "REDUCE_ITEM",
        "convert_negative_lines": True,
        "issue_refunds_and_settle_balances": True,
        "auto_apply_credits_to_posted_invoices": True,
        "level2_level3_data": True,
        "retry_failed_payments": True,
    },
}


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _one_of(*allowed: str) -> Callable[[Any], bool]:
    return lambda value: value in allowed


def _some_of(*allowed: str) -> Callable[[Any], bool]:
    """A list of some of these, each at most once, in the order that counts."""

    def some(value: Any) -> bool:
        options = _listed(value)
        return options is not None and set(options) <= set(allowed) and len(set(options)) == len(options)

    return some


def _are_delays(value: Any) -> bool:
    """They count from one moment, so each is longer than the one before it."""
    delays = _listed(value) or []
    possible = 0 < len(delays) <= 20 and all(
        type(delay) is int and 0 < delay <= 30 * 86400 for delay in delays
    )
    return possible and sorted(set(delays)) == delays


def _is_threshold(value: Any) -> bool:
    return value is None or (isinstance(value, Money) and value.amount_minor >= 0)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 10_000


def _is_time(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", value) is not None


def _is_count_of_schedulers(value: Any) -> bool:
    return type(value) is int and 0 < value <= ACTIVE_SCHEDULERS_MAX


def _is_zone(value: Any) -> bool:
    return value in zones.known()


def _is_id(value: str) -> bool:
    return re.match(ID_PATTERN, value) is not None and not value.endswith("\n")


def _are_thresholds(value: Any) -> bool:
    """Amounts above 0, one for a currency."""
    listed = _listed(value)
    if listed is None or not all(isinstance(one, Money) and one.amount_minor > 0 for one in listed):
        return False
    return len({one.currency for one in listed}) == len(listed)


def _are_caps(value: Any) -> bool:
    given = _listed(value)
    return (
        given is not None
        and len(given) <= 20
        and all(isinstance(text, str) and caps.parsed(text) is not None for text in given)
    )


def _are_postal_codes(value: Any) -> bool:
    given = _listed(value)
    if given is None or len(given) > 100 or not all(isinstance(text, str) for text in given):
        return False
    pairs = [tuple(text.partition("=")[::2]) for text in given]
    whole = all(_is_id(entity) and 0 < len(code.strip()) <= 20 for entity, code in pairs)
    return whole and len({entity for entity, _ in pairs}) == len(pairs)


def _are_terms(value: Any) -> bool:
    given = _listed(value)
    if given is None or len(given) > 100 or not all(isinstance(text, str) for text in given):
        return False
    terms = [term for text in given if (term := TERM.fullmatch(text))]
    possible = all(int(term["days"]) <= TERM_DAYS_MAX for term in terms)
    return possible and len({term["id"] for term in terms}) == len(given)


def _is_note(value: Any) -> bool:
    """Who allows what networks forbid says why, in words that can be read at an audit."""
    return value is None or (isinstance(value, str) and 10 <= len(value.strip()) <= 1000)


def _listed(value: Any) -> list[Any] | None:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else None


_VALID: dict[str, Callable[[Any], bool]] = {
    **{name: _is_bool for name, value in DEFAULTS.items() if value in (True, False)},
    "application_level": _one_of("INVOICE", "INVOICE_LINE"),
    "application_order": _one_of("PAYMENTS_FIRST", "CREDITS_FIRST"),
    "offset_before_refund": _one_of("NONE", "ACCOUNT"),
    "refund_unapply_strategy": _one_of("FULL_THEN_REAPPLY", "PARTIAL"),
    "reduced_balance_policy": _one_of("CANCEL_ITEM", "REDUCE_ITEM"),
    "schedule_cut_time": _is_time,
    "time_zone": _is_zone,
    "active_schedulers_max": _is_count_of_schedulers,
    "application_rules": _some_of(*APPLICATION_RULES),
    "refund_failure_fallback": _some_of(*FALLBACKS),
    "small_balance_write_off": _are_thresholds,
    "refund_approval_threshold": _is_threshold,
    "unreferenced_refund_count_max": lambda value: value is None or _is_count(value),
    "unreferenced_refund_amount_max": _are_thresholds,
    "unreferenced_refund_days": lambda value: _is_count(value) and value <= 366,
    "corporate_currency": lambda value: value is None or value in EXPONENTS,
    "rate_source": lambda value: value is None or (isinstance(value, str) and _is_id(value)),
    "unknown_outcome_poll": _are_delays,
    "stagger_basis": _one_of(*get_args(StaggerBasis)),
    "hard_decline_policy": _one_of(*get_args(HardDeclinePolicy)),
    "never_retry_override": _is_note,
    "card_network_caps": _are_caps,
    "ship_from_postal_codes": _are_postal_codes,
    "payment_terms": _are_terms,
}
assert _VALID.keys() == DEFAULTS.keys()


@dataclass(slots=True)
class TenantSettings:
    KIND: ClassVar[str] = "settings"

    version: int = 0
    values: dict[str, Any] = field(default_factory=lambda: dict(DEFAULTS))

    @property
    def open(self) -> bool:
        return False

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def evolve(settings: TenantSettings, event: TenantSettingsChanged) -> None:
    for name, value in event.changes.items():
        settings.values[name] = tuple(value) if isinstance(value, list) else value


@command("payments.tenant_settings.change.v1")
class ChangeTenantSettings:
    """Change named settings; the others keep their values."""

    changes: dict[
        str, bool | int | str | tuple[str, ...] | tuple[int, ...] | Amount | tuple[Amount, ...] | None
    ]
    """Setting to its new value; settings that are not named keep theirs.  `GET /v1/{tenant}/tenant-settings`
    tells all there are, and what they are now."""


@command("payments.tenant_settings.apply_preset.v1")
class ApplySettingsPreset:
    """`bare` resets everything; `recommended` switches on what most tenants want.

    Retries need a default rule set: a tenant that has none is given one.
    """

    name: Literal["bare", "recommended"]
    """`bare` or `recommended`."""


def needed(context: Context) -> Need:
    """The tenant's settings, as any decision may need them."""
    return Need(TenantSettings, context.tenant)


def of(states: States, context: Context) -> TenantSettings:
    return states.get(TenantSettings, context.tenant)


def ship_from(settings: TenantSettings, legal_entity_id: str | None) -> str | None:
    """Whence a legal entity ships its goods."""
    known = dict(text.partition("=")[::2] for text in settings["ship_from_postal_codes"])
    code = known.get(legal_entity_id or "default")
    return code and code.strip()


def threshold_below(states: States, amount: Money, context: Context) -> Money | None:
    """The approval threshold that an amount is above; one in another currency than its own always is."""
    threshold: Money | None = of(states, context)["refund_approval_threshold"]
    if threshold is None:
        return None
    comparable = amount.currency == threshold.currency
    return None if comparable and amount.amount_minor <= threshold.amount_minor else threshold


def _needs(states: States, command: object, context: Context) -> Needs:
    yield needed(context)
    yield from recommended.needed(context)
    yield from policy.first_needed(context)


def change(states: States, command: ChangeTenantSettings, context: Context) -> Changes:
    for name, value in command.changes.items():
        if name not in DEFAULTS:
            raise Rejected("UNKNOWN_FIELD", f"there is no setting {name}", field=f"data.changes.{name}")
        if not _VALID[name](value):
            raise Rejected(
                "MALFORMED_REQUEST", f"{value!r} is no value of {name}", field=f"data.changes.{name}"
            )
    _check_rules(states, command, context)
    _check_retries(states, command, context)
    return _changed(states, context, dict(command.changes), None)


def _check_rules(states: States, command: ChangeTenantSettings, context: Context) -> None:
    after = {**of(states, context).values, **command.changes}
    if after["rule_based_application"] and not after["application_rules"]:
        raise Rejected(
            "MALFORMED_REQUEST",
            "application by rules needs at least one of application_rules",
            field="data.changes.rule_based_application",
        )


def _check_retries(states: States, command: ChangeTenantSettings, context: Context) -> None:
    wanted = command.changes.get("retry_failed_payments", False)
    if wanted and states.get(RetryRuleSets, context.tenant).default_id is None:
        raise Rejected(
            "DEFAULT_RULE_SET_REQUIRED",
            "failed payments are retried by an active default rule set: choose one first",
            field="data.changes.retry_failed_payments",
        )


def apply_preset(states: States, command: ApplySettingsPreset, context: Context) -> Changes:
    first = recommended.adopted(states, context) if command.name == "recommended" else []
    return [*first, *_changed(states, context, PRESETS[command.name], command.name)]


def _changed(states: States, context: Context, changes: dict[str, Any], preset: str | None) -> Changes:
    current = of(states, context)
    differing = {name: value for name, value in changes.items() if current[name] != value}
    if not differing:
        return []
    enabled = differing.get("create_payment_schedules")
    first = policy.first_enabled(states, context) if enabled else []
    return [*first, Change(TenantSettings, context.tenant, TenantSettingsChanged(differing, preset))]


def today(settings: TenantSettings, now: datetime) -> date:
    """The tenant's civil date."""
    return now.astimezone(zoneinfo.ZoneInfo(settings["time_zone"])).date()


def _home(command: object, tenant: str) -> str:
    return tenant_home("settings", tenant)


SUBJECT = Subject(
    TenantSettings,
    evolve,
    (
        Rule(ChangeTenantSettings, _needs, change, _home),
        Rule(ApplySettingsPreset, _needs, apply_preset, _home),
    ),
)
