-- name: under_way
-- What time must wait for, and when the next thing is due by itself.  A call to a gateway whose circuit is open
-- waits for the circuit, and time need not wait for the call.
with ill as (
    select tenant_id, gateway_id, circuit_open_until from {schema}.gateways where circuit_open_until > $1
)
select
    (select count(*) from outbox_commands where due_at <= $1) as commands,
    (select count(*) from gateway_work w
        where not answered and (due_at <= $1 or (holder is not null and until > $1))
            and not exists (select 1 from ill i where (i.tenant_id, i.gateway_id) = (w.tenant, w.gateway_id))
    ) as gateway_calls,
    h.position - coalesce((select min(position) from tracking where name in ('processes', 'runs')), 0)
        as processes,
    h.position - coalesce((select position from tracking where name = 'relay:' || $2 || ':events'), 0) as relay,
    h.verdict_position
        - coalesce((select position from tracking where name = 'relay:' || $2 || ':results'), 0) as results,
    h.position - (select position from read_progress where schema = $3) as read_models,
    least(
        (select min(due_at) from outbox_commands where due_at > $1),
        (select min(due_at) from gateway_work where due_at > $1 and not answered),
        (select min(circuit_open_until) from ill)
    ) as next_at
from head h;

-- name: last_of_a_moment
-- What is due within one moment happens in its order in any case: time moves to the last of it.
select greatest(
    (select max(due_at) from outbox_commands where due_at between $1 and $2),
    (select max(due_at) from gateway_work where due_at between $1 and $2 and not answered),
    $1
);

-- name: hold_still
select 1 from head for update;

-- name: foreign_gateways
select tenant_id || '/' || gateway_id as gateway from {schema}.gateways where adapter_key <> 'simulator'
order by 1 limit 20;

-- name: wake
select pg_notify('tender_log', '');
