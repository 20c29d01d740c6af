"""What can happen to a legal entity's accounting periods (stream `period-{legal entity}`)."""

from __future__ import annotations

from events.catalog import fact


@fact("accounting_period.opened.v1")
class AccountingPeriodOpened:
    """Money may be dated in this month."""

    legal_entity_id: str
    month: str
    """`2026-03`."""


@fact("accounting_period.closed.v1")
class AccountingPeriodClosed:
    """Nothing takes effect in it any more."""

    legal_entity_id: str
    month: str
    reason: str | None = None


@fact("accounting_period.reopened.v1")
class AccountingPeriodReopened:
    """Money may be dated in this month again."""

    legal_entity_id: str
    month: str
    reason: str | None = None


AccountingPeriodEvent = AccountingPeriodOpened | AccountingPeriodClosed | AccountingPeriodReopened
