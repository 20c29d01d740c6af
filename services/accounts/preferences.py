"""How an account wishes to be collected from, and which group of the tenant's it is collected in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from events.account import CollectionPreferencesSet
from services import zones
from services.accounts import account
from services.commands import Id, command
from services.decision import Changes, Context, Needs, Rule, States
from services.errors import Rejected
from services.schedulers import business_days


@command("payments.account.set_collection_preferences.v1")
class SetCollectionPreferences:
    """All of them, as they are to be from now on; what is left out is the tenant's."""

    account_group: Id | None = None
    time_zone: str | None = None
    calendar: str | None = None
    pay_day: Annotated[int, Field(ge=1, le=31)] | None = None
    """Day of the month on which the payer is paid; a day that a month lacks is its last one."""


def _needs(states: States, command: SetCollectionPreferences, context: Context) -> Needs:
    yield account.needed(context)


def set_preferences(states: States, command: SetCollectionPreferences, context: Context) -> Changes:
    owner = account.of(states, context)
    check_zone(command.time_zone, "data.time_zone")
    check_calendar(command.calendar, "data.calendar")
    wanted = CollectionPreferencesSet(**vars(command))
    return [] if owner.preferences == wanted else [account.changed(context, wanted)]


def check_zone(name: str | None, field: str) -> None:
    if name is not None and name not in zones.known():
        raise Rejected("MALFORMED_REQUEST", f"{name[:80]} is no time zone of the IANA database", field=field)


def check_calendar(name: str | None, field: str) -> None:
    if name is not None and not business_days.known(name):
        raise Rejected("MALFORMED_REQUEST", f"there is no calendar {name[:80]}", field=field)


RULES = (Rule(SetCollectionPreferences, _needs, set_preferences),)
