-- name: schedulers
select * from {s}.payment_schedulers where tenant_id = $1 and status = 'ACTIVE' order by scheduler_id;

-- name: held
select account_id, case when status = 'SUSPENDED' or auto_collect is false then null else hold_until end as hold_until
from {s}.accounts
where tenant_id = $1 and (
    status = 'SUSPENDED' or auto_collect is false
    or (hold_reason is not null and (hold_until is null or hold_until > $2))
);

-- name: skipped
select item_id, skipped_until from {s}.schedule_items
where tenant_id = $1 and status = 'READY' and skipped_until > $2;

-- name: retries
select i.account_id, i.currency, i.requested, (i.next_retry_at at time zone 'UTC')::date as day, m.type
from {s}.schedule_items i
left join {s}.payment_methods m on m.tenant_id = i.tenant_id and m.method_id = i.retry_method_id
where i.tenant_id = $1 and i.status = 'FAILED' and i.next_retry_at < $2;
