"""What a run would do, told before it does it, some items at a time."""

from __future__ import annotations

from typing import Any

from projections.due import MemoryDue
from projections.folding import Folder
from projections.models import TABLES
from projections.rows import MemoryRows
from services.accounts.account import PlacePaymentHold
from services.commands import Actor, decode, encode
from services.payments.payment import Payment
from services.previewing import Preview
from services.runs.batch_run import home_of
from tests.runs import Collection

AT_A_TIME = 2


async def planned(j: Collection, after: int = 0) -> dict[str, Any]:
    rows = MemoryRows()
    Folder(TABLES).from_zero(await j.store.read(0, 1_000_000), rows.rows)
    who = Actor("USER", "u")
    sent = encode(j.starting("R"), tenant="t", account_id=home_of("R"), actor=who, idempotency_key="R")
    preview = Preview(MemoryDue(rows), j.handler.dry_run, j, AT_A_TIME)
    return (await preview.dry_run(decode(*sent), after))["plan"]


def due(*amounts: str) -> Collection:
    j = Collection()
    for account, amount in zip("ABCDE", amounts, strict=False):
        j.owes(account, amount)
    return j


async def test_every_item_can_be_seen_some_at_a_time() -> None:
    j = due("5.00", "4.00", "3.00", "2.00", "1.00")
    j.when(PlacePaymentHold("he asked"), account="D").then_accepted()
    seen, after, undecided = list[tuple[int, str, str]](), 0, list[int]()
    while after is not None:
        plan = await planned(j, after)
        assert (plan["selected"], plan["requested"][0].amount_minor) == (5, 1_500)
        undecided.append(plan["undecided"])
        seen += [(item["place"], item["account_id"], item["outcome"]) for item in plan["items"]]
        after = plan["next_after"]
    whole = [(1, "A"), (2, "B"), (3, "C"), (4, "D"), (5, "E")]
    assert seen == [(*item, "SKIP" if item == (4, "D") else "CHARGE") for item in whole]
    assert undecided == [3, 3, 4]
    assert j.ids(Payment) == []


async def test_behind_the_last_there_is_nothing_more_to_see() -> None:
    plan = await planned(due("1.00"), 1)
    assert (plan["selected"], plan["planned"], plan["undecided"], plan["next_after"]) == (1, 0, 1, None)
    whole = await planned(due("1.00"))
    assert (whole["planned"], whole["undecided"], whole["next_after"]) == (1, 0, None)
