"""Whether every cent is where it belongs: the log's integrity, and conservation of money.

An independent reading: sums in SQL over the log and over the read models, not the code that wrote them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from projections.rows import PostgresRows


class Check(NamedTuple):
    name: str
    about: str
    violations: int


_LOG_CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "log without gaps",
        "positions 1 to the head, each once",
        "select (select position from head) - (select count(*) from log)",
    ),
    (
        "streams without gaps",
        "each stream's versions from 1",
        "select count(*) from (select stream from log group by stream having max(version) <> count(*)) s",
    ),
    (
        "commands whole",
        "the last event of each command is marked, and no other",
        "select count(*) from (select command_id from log group by command_id "
        "having count(*) filter (where last_of_command) <> 1) c",
    ),
    (
        "verdicts",
        "every command in the log has an accepted verdict",
        "select count(*) from (select distinct command_id from log) l "
        "left join verdicts v on v.command_id = l.command_id and v.status = 'ACCEPTED' "
        "where v.command_id is null",
    ),
)

_MONEY_CHECKS: tuple[tuple[str, str, str], ...] = (
    (
        "ledger balanced",
        "debits equal credits, per account and currency",
        "select count(*) from (select 1 from {s}.ledger_balances group by tenant_id, account_id, currency "
        "having sum(debit) <> sum(credit)) b",
    ),
    (
        "ledger against balances",
        "receivables less unapplied cash less customer credits is the net balance",
        "select count(*) from {s}.account_balances b join (select tenant_id, account_id, currency, "
        "sum(case when ledger_account in ('Accounts receivable', 'Unapplied cash', 'Customer credits') "
        "then debit - credit else 0 end) as net from {s}.ledger_balances group by 1, 2, 3) l "
        "using (tenant_id, account_id, currency) where l.net <> b.open_receivables + b.overdrawn "
        "- b.unapplied_payments - b.reserved_for_refunds - b.reserved_for_transfers - b.open_credit "
        "- b.reserved_credit",
    ),
    (
        "payments whole",
        "received is applied, unapplied, refunded, reserved, disputed, returned and transferred; "
        "nothing below zero",
        "select count(*) from {s}.payments where received <> applied + unapplied + refunded "
        "+ refund_reserved + dispute_held + disputed_lost + returned + transfer_reserved + transferred "
        "or least(applied, unapplied, refunded, refund_reserved, dispute_held, disputed_lost, returned, "
        "transfer_reserved, transferred, overdrawn) < 0",
    ),
    (
        "transfers whole",
        "what lies between accounts is on its way: reserved on one, or on its way back",
        "select count(*) from (select tenant_id, currency, sum(debit - credit) as between_accounts "
        "from {s}.ledger_balances where ledger_account = 'Between accounts' group by 1, 2) l "
        "join (select tenant_id, currency, sum(transfer_reserved) as going, sum(transferred) as gone "
        "from {s}.payments group by 1, 2) p using (tenant_id, currency) "
        "where l.between_accounts not between -p.gone and p.going",
    ),
    (
        "credit memos whole",
        "total is applied, refunded, reserved and open; nothing below zero",
        "select count(*) from {s}.credit_memos where status = 'POSTED' and (total <> applied + refunded "
        "+ refund_reserved + balance or least(applied, refunded, refund_reserved, balance) < 0)",
    ),
    (
        "invoices whole",
        "balance is total less converted, paid and credited",
        "select count(*) from {s}.invoices where status = 'POSTED' "
        "and balance <> total - converted_negative - net_payments - net_credits",
    ),
    (
        "invoices not overpaid",
        "a positive invoice never owes less than nothing",
        "select count(*) from {s}.invoices where status = 'POSTED' and total >= 0 and balance < 0",
    ),
    (
        "lines against invoices",
        "at line level an invoice's balance is the sum of its lines",
        "select count(*) from {s}.invoices where coalesce(settlement_level, 'INVOICE_LINE') = 'INVOICE_LINE' "
        "and balance <> "
        "(select sum((line->>'balance_minor')::bigint) from json_array_elements(lines::json) line)",
    ),
    (
        "refunds within captures",
        "no payment gave back more than it received",
        "select count(*) from {s}.payments where refunded + refund_reserved > received",
    ),
    (
        "payouts add up",
        "what is counted of a payout is its lines; a difference is shown to a person",
        "select count(*) from {s}.payouts p left join (select tenant_id, payout_id, sum(net) as net, "
        "count(*) as lines from {s}.payout_lines group by 1, 2) l using (tenant_id, payout_id) "
        "where p.total <> coalesce(l.net, 0) or p.lines <> coalesce(l.lines, 0) "
        "or (p.lines >= p.lines_reported and p.amount - p.total <> p.difference) "
        "or (p.difference <> 0 and not exists (select 1 from {s}.exceptions e where "
        "e.tenant_id = p.tenant_id and e.subject_id = p.payout_id and e.type = 'PAYOUT_TOTAL_DIFFERS'))",
    ),
    (
        "payout lines placed",
        "each line is matched, booked, or in suspense",
        "select count(*) from {s}.payout_lines where net <> gross - fee or status is null",
    ),
    (
        "payments settled once",
        "no cent of a payment is paid out twice, and none without a line; an excess is shown to a person",
        "select count(*) from {s}.payments p left join (select tenant_id, target_id as payment_id, "
        "sum(charged) as charged from {s}.payout_lines where type = 'PAYMENT' and status = 'MATCHED' "
        "group by 1, 2) l using (tenant_id, payment_id) where p.settled > p.amount "
        "or p.settled + p.settled_excess > coalesce(l.charged, 0) "
        "or (p.settled_excess > 0 and not exists (select 1 from {s}.exceptions e "
        "where e.tenant_id = p.tenant_id and e.subject_id = p.payment_id and e.type like 'SETTLEMENT_%'))",
    ),
    (
        "payouts paid in once",
        "no two lines of the bank are one payout",
        "select count(*) from (select 1 from {s}.bank_lines where status = 'MATCHED' "
        "group by tenant_id, payout_id having count(*) > 1) b",
    ),
    (
        "cash flow against ledger",
        "by currency: what is unapplied, what it costs, and what reached the bank",
        "select count(*) from (select tenant_id, currency, sum(unapplied) as cash, sum(fees) as fees, "
        "sum(settled + received_outside - refunded_outside "
        "- case when gateway_id = '' and method_type <> '' then canceled + returned else 0 end) as bank "
        "from {s}.cash_flow group by 1, 2) f full join (select tenant_id, currency, "
        "sum(case when ledger_account = 'Unapplied cash' then credit - debit else 0 end) as cash, "
        "sum(case when ledger_account in ('Gateway fees', 'Dispute fees') then debit - credit else 0 end) "
        "as fees, "
        "sum(case when ledger_account = 'Bank' then debit - credit else 0 end) as bank "
        "from {s}.ledger_balances group by 1, 2) l using (tenant_id, currency) "
        "where coalesce(f.cash, 0) <> coalesce(l.cash, 0) or coalesce(f.fees, 0) <> coalesce(l.fees, 0) "
        "or coalesce(f.bank, 0) <> coalesce(l.bank, 0)",
    ),
)


async def verify(rows: PostgresRows) -> list[Check]:
    """Every check with its number of violations; the read models are taken as they stand now."""
    schema = await rows.active(fresh=True)
    checks: list[Check] = []
    async with rows.pool.acquire() as connection:
        for name, about, statement in _LOG_CHECKS:
            checks.append(Check(name, about, await _count(connection, statement)))
        for name, about, statement in _MONEY_CHECKS:
            checks.append(Check(name, about, await _count(connection, statement.format(s=schema))))
    return checks


async def _count(connection: Any, statement: str) -> int:
    return int(await connection.fetchval(statement))
