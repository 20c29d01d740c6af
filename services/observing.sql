-- name: status
select h.position as events, h.verdict_position as verdicts,
    (select max(position) from tracking where name like 'relay:' || coalesce($1, '%') || ':events') as relayed_events,
    (select max(position) from tracking where name like 'relay:' || coalesce($1, '%') || ':results')
        as relayed_results,
    (select position from tracking where name = 'processes') as processed,
    (select p.position from read_progress p join read_models r on r.active = p.schema) as projected,
    (select count(*) from outbox_commands) as outbox_waiting,
    (select count(*) from outbox_commands where due_at <= $2::timestamptz) as outbox_due,
    (select count(distinct home) from parked) as parked_keys,
    (select count(*) from parked) as parked_commands,
    (select count(*) from dead_letters) as dead_letters
from head h;

-- name: gateway_work
select mode, count(*) as waiting, count(*) filter (where due_at <= $1::timestamptz) as due,
    count(*) filter (where holder is not null and until > $1::timestamptz) as under_way,
    coalesce(extract(epoch from $1::timestamptz - min(due_at) filter (where due_at <= $1::timestamptz))::float8, 0) as oldest_seconds
from gateway_work where not answered group by mode;

-- name: leases
select name, until > $1 as held from leases;

-- name: exceptions
select type, count(*) as open from {schema}.exceptions where status = 'OPEN' group by type;

-- name: notifications
select status, count(*) as kept from {schema}.notifications group by status;
