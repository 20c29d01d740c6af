"""With which method an item is collected that names none: decided and read by the same rule."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from events.criteria import Due
from events.schedule import PaymentScheduleItemClaimed
from projections.due import BEGINNING, MemoryDue, Wanted
from projections.folding import Folder
from projections.models import TABLES
from projections.rows import MemoryRows
from services.schedules.collecting import CollectScheduleItem
from services.schedules.items import NewItem
from services.schedules.schedule import PaymentSchedule
from services.schedules.scheduling import CreatePaymentSchedule
from tests.journey import money
from tests.paying_with import DAY, SITUATIONS, Payers


def read(payers: Payers) -> Sequence[Due]:
    rows = MemoryRows()
    Folder(TABLES).from_zero(payers.events(), rows.rows)
    return asyncio.run(anext(MemoryDue(rows).read(Wanted(payers.tenant, DAY), BEGINNING, 1_000)))


def test_what_is_read_is_what_is_charged() -> None:
    payers = Payers()
    assert {due.account_id: due.method_id for due in read(payers)} == payers.expected
    charged = dict[str, str | None]()
    for id in payers.ids(PaymentSchedule):
        schedule = payers.state(PaymentSchedule, id)
        payers.account = schedule.account_id
        payers.when(CollectScheduleItem(id, *schedule.items))
        claims = [fact for *_, fact in payers.facts() if isinstance(fact, PaymentScheduleItemClaimed)]
        charged[schedule.account_id] = claims[0].method_id if claims else None
    assert charged == payers.expected
    assert len(charged) == len(SITUATIONS)


def test_an_item_s_own_method_comes_first_then_its_schedule_s() -> None:
    payers = Payers()
    payers.account = "by_hand_by_its_invoice"
    own, whole = payers.method("newest"), payers.saves("schedule")
    items = (NewItem(money(1), DAY, own), NewItem(money(1), DAY))
    plan = CreatePaymentSchedule("ORDER", "P", items, "S", money(2), default_method_id=whole)
    payers.when(plan).then_accepted()
    found = [due.method_id for due in read(payers) if due.payment_schedule_id == "S"]
    assert found == [own, whole]
