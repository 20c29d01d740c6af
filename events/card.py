"""What is tried with a card (stream `card-{id}`): one stream, whichever accounts have saved the card.

Networks count refusals of a card, not of a record of it.  The stream belongs to no account.
"""

from __future__ import annotations

from datetime import datetime

from events.catalog import fact
from events.frozen import frozen
from events.money import Money


@frozen
class CardAttempt:
    """What was asked of the card, by whom."""

    id: str
    """Of the payment or the authorization."""
    account_id: str
    method_id: str
    """The saved payment method that was charged."""
    network: str
    amount: Money


@fact("card.attempt_begun.v1")
class CardAttemptBegun:
    """A card that was refused this amount of late is tried again: that counts until its outcome is known."""

    attempt: CardAttempt
    """Which attempt."""
    begun_at: datetime
    """When it began."""


@fact("card.refused.v1")
class CardRefused:
    """An attempt with it failed: that counts, for as long as its network says."""

    attempt: CardAttempt
    """Which attempt."""
    refused_at: datetime
    raw_code: str | None = None


@fact("card.attempt_cleared.v1")
class CardAttemptCleared:
    """What had counted succeeded: it counts no longer."""

    attempt_id: str
    """The id of the payment, or of the authorization."""


@fact("card.advised.v1")
class CardAdvised:
    """Refusing an attempt, its network, or its gateway, has said when the card may be tried again."""

    attempt: CardAttempt
    """Which attempt."""
    advised_at: datetime
    """When that was."""
    not_before: datetime | None = None
    """None: never."""
    network_advice: str | None = None
    """The network's code, where it gave one."""
    raw_code: str | None = None


@fact("card.advice_lifted.v1")
class CardAdviceLifted:
    """It was charged: what was advised before holds no longer."""

    attempt_id: str
    """The id of the payment, or of the authorization."""


CardEvent = CardAttemptBegun | CardRefused | CardAttemptCleared | CardAdvised | CardAdviceLifted
