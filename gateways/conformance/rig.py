"""What the author of an adapter supplies: how the gateway's requests read, and how its answers look.

A rig translates and decides nothing: the bank says what becomes of an order.  Subclass `Rig` and write
`settings`, `serve`, and, where the gateway sends news of its own, `deliver`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import ClassVar, Protocol

from gateways.codes import Meaning
from gateways.conformance.bank import Bank, Deed
from gateways.conformance.wire import Answer, Asked
from gateways.registry import Adapter


class Rig(Protocol):
    name: ClassVar[str]
    adapter: ClassVar[Adapter]
    """What the entry point names."""
    codes: ClassVar[Mapping[str, Meaning]]
    """The gateway's raw codes for a refused charge, and what each means (`gateways.codes.MAPS`)."""
    secrets: ClassVar[Mapping[str, str]] = {"api_key": "kit_topsecret_key"}
    """What the credential holds, in the form that the gateway's secrets have."""
    method_type: ClassVar[str] = "card"
    token: ClassVar[str] = "tok_of_the_kit"  # noqa: S105  # stands for an instrument, and opens nothing
    charge_fates: ClassVar[tuple[str, ...]] = ()
    """Of ACTION, REVIEW and PENDING: what a charge at this gateway may run into."""
    not_processed: ClassVar[tuple[int, ...]] = (429,)
    """Statuses that the gateway documents as "not processed, come again"."""
    reads_initiator: ClassVar[bool] = False
    """Its orders say who began a charge."""
    steps: ClassVar[Mapping[str, int]] = {}
    """Currencies of which the gateway takes only multiples of so many ISO minor units."""
    stale_seconds: ClassVar[int | None] = None
    """A notification older than this is refused; None where it carries no signed time."""
    news_of_charges: ClassVar[bool] = True
    """It tells how a charge ended, not only how what builds on one did."""
    batches: ClassVar[bool] = False
    """One delivery may hold several pieces of news."""

    def settings(self, url: str) -> dict[str, str]:
        """The adapter's settings for a gateway at this place."""
        ...

    def serve(self, asked: Asked, bank: Bank) -> Answer:
        """Read a request, have the bank carry it out or look it up, and say so in the gateway's words."""
        ...

    def again(self, asked: Asked, deed: Deed, same: bool, first: Answer | None) -> Answer:
        """A key that was used before, for the same request or for another one."""
        if same and first is not None:
            return first
        return Answer(409, {"error": {"code": "idempotency_key_in_use"}})

    def error(self, status: int, said: str) -> Answer:
        """An error of the gateway's that is about no payment, with a text of its own."""
        return Answer(status, {"error": {"message": said}})

    def data_refused(self) -> Answer | None:
        """How the gateway refuses a charge for its Level 2 and 3 data alone; None where it never does."""
        return None

    def deliver(
        self, deeds: Sequence[Deed], secrets: Mapping[str, str], at: datetime
    ) -> tuple[dict[str, str], bytes]:
        """A signed notification about what became of these deeds: headers and body."""
        raise NotImplementedError

    def deliver_unknown(self, secrets: Mapping[str, str], at: datetime) -> tuple[dict[str, str], bytes]:
        """A signed notification of a type that says nothing about a payment."""
        raise NotImplementedError
