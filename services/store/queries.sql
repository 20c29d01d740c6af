-- name: move_offset
update offsets set next_offset = $5
where cluster_id = $1 and topic = $2 and partition = $3 and next_offset = $4
returning 1;

-- name: first_offset
insert into offsets (cluster_id, topic, partition, next_offset) values ($1, $2, $3, $4)
on conflict do nothing returning 1;

-- name: move_tracking
update tracking set position = $3 where name = $1 and position = $2 returning 1;

-- name: first_tracking
insert into tracking (name, position) values ($1, $2) on conflict do nothing returning 1;

-- name: take_claims
with taken as (
    insert into claims (tenant, kind, key, owner)
    select $1, $2, key, owner from unnest($3::text[], $4::text[]) as r(key, owner)
    order by key
    on conflict do nothing
    returning 1
)
select count(*) from taken;

-- name: release_claims
delete from claims c using unnest($1::text[], $2::text[], $3::text[], $4::text[]) as r(tenant, kind, key, owner)
where (c.tenant, c.kind, c.key, c.owner) = (r.tenant, r.kind, r.key, r.owner);

-- name: claim_owners
select key, owner from claims where tenant = $1 and kind = $2 and key = any($3);

-- name: take_head
update head set position = position + $1, verdict_position = verdict_position + $2
returning position, verdict_position, clock_timestamp() as at, pg_notify('tender_log', '');

-- name: moved_between
select distinct home, stream from log where position > $1 and position <= $2;

-- name: moved_since
select h.position as head, l.home, l.stream
from head h left join log l on l.position > $1 and l.position <= h.position;

-- name: replaced_verdicts
delete from verdicts where command_id = any($1) and status = 'PARKED';

-- name: forget_parked
delete from parked where command_id = any($1);

-- name: forget_outbox
delete from outbox_commands where command_id = any($1);

-- name: add_outbox
insert into outbox_commands (command_id, home, type, body, meta, due_at)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::timestamptz[])
on conflict do nothing;

-- name: notify
select pg_notify('tender_log', '');

-- name: open_documents
insert into account_documents (home, stream) select * from unnest($1::text[], $2::text[]) on conflict do nothing;

-- name: close_documents
delete from account_documents d using unnest($1::text[], $2::text[]) as r(home, stream)
where (d.home, d.stream) = (r.home, r.stream);

-- name: plan_work
insert into gateway_work (key, home, gateway_id, operation, mode, request, due_at)
select key, home, gateway_id, operation, 'SEND', request, due_at
from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[])
    as r(key, home, gateway_id, operation, request, due_at)
on conflict do nothing;

-- name: due_work
update gateway_work w
set mode = r.mode, due_at = r.due_at, answered = false, holder = null, sent_at = null, until = null
from unnest($1::text[], $2::text[], $3::timestamptz[]) as r(key, mode, due_at)
where w.key = r.key;

-- name: done_work
delete from gateway_work where key = any($1);

-- name: answered_work
update gateway_work w set answered = true from unnest($1::text[], $2::text[]) as r(key, holder)
where (w.key, w.holder) = (r.key, r.holder);

-- name: claim_work
-- Gateway by gateway, found by skipping along the index: a backlog of one is passed over in one step.
with recursive gateways (tenant, gateway_id) as (
    (select tenant, gateway_id from gateway_work where not answered order by tenant, gateway_id limit 1)
    union all
    select next.tenant, next.gateway_id from gateways g, lateral (
        select tenant, gateway_id from gateway_work
        where not answered and (tenant, gateway_id) > (g.tenant, g.gateway_id)
        order by tenant, gateway_id limit 1
    ) next
),
due as (
    select w.key, w.sent_at
    from gateways g
    left join unnest($5::text[], $6::text[], $7::int[]) as r (tenant, gateway_id, calls)
        on (r.tenant, r.gateway_id) = (g.tenant, g.gateway_id),
    lateral (
        select key, sent_at, due_at from gateway_work
        where tenant = g.tenant and gateway_id = g.gateway_id and due_at <= $2 and not answered
            and (until is null or until < $2)
        order by due_at limit least(coalesce(r.calls, $8), $4) for update skip locked
    ) w
    order by w.due_at limit $4
)
update gateway_work w
set holder = $1, until = $3, sent_at = case when w.mode <> 'INQUIRE' then coalesce(w.sent_at, $2) else w.sent_at end
from due where w.key = due.key
returning w.key, w.home, w.gateway_id, w.operation, w.mode, w.request, w.sent_at,
    w.mode <> 'INQUIRE' and due.sent_at is not null as taken_over;

-- name: add_parked
insert into parked (command_id, home, type, body, headers, reason, at)
values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing;

-- name: parked_homes
select distinct on (home) home, reason from parked order by home, seq;

-- name: parked_commands
select command_id, home, type, body, headers, reason, at from parked where home = $1 order by seq;

-- name: add_dead_letter
insert into dead_letters (cluster_id, topic, partition, "offset", key, value, headers, code, reason, at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict do nothing;

-- name: dead_letters
select id, cluster_id, topic, partition, "offset", key, value, headers, code, reason, at
from dead_letters where id > $1 order by id limit $2;

-- name: head
select position, verdict_position from head;

-- name: read_log
select position, home, stream, version, topic, data, command_id, meta, occurred_at, recorded_at, last_of_command
from log where position > $1 and position <= $2 order by position;

-- name: read_topics
select e.position as reached, l.position, l.home, l.stream, l.version, l.topic, l.data, l.command_id, l.meta,
    l.occurred_at, l.recorded_at, l.last_of_command
from (
    select min(position) as position from log
    where position >= (select least($1::bigint + $2, position) from head) and last_of_command
) e left join log l on l.position > $1 and l.position <= e.position and l.topic = any($3)
order by l.position;

-- name: end_of_command
select min(position) from log where position >= $1 and last_of_command;

-- name: read_verdicts
select verdict_position, command_id, home, type, fingerprint, status, outcome, position, meta, recorded_at
from verdicts where verdict_position > $1 order by verdict_position limit $2;

-- name: find_verdicts
select verdict_position, command_id, home, type, fingerprint, status, outcome, position, meta, recorded_at
from verdicts where command_id = any($1);

-- name: read_stream
select position, home, stream, version, topic, data, command_id, meta, occurred_at, recorded_at, last_of_command
from log where stream = $1 and version > $2 order by version;

-- name: read_home
select position, home, stream, version, topic, data, command_id, meta, occurred_at, recorded_at, last_of_command
from log where home = $1 and position > coalesce($2, 0) order by position limit $3;

-- name: read_home_back
select position, home, stream, version, topic, data, command_id, meta, occurred_at, recorded_at, last_of_command
from log where home = $1 and position < coalesce($2, 9223372036854775807) order by position desc limit $3;

-- name: load
select h.position as head, l.position, l.home, l.stream, l.version, l.topic, l.data, l.command_id, l.meta,
    l.occurred_at, l.recorded_at, l.last_of_command
from head h left join log l on l.stream = any($1)
order by l.stream, l.version;

-- name: read_documents
select h.position as head, d.home, d.stream
from head h left join account_documents d
    on d.home = any($1) and ($2::text[] is null or split_part(split_part(d.stream, '/', 2), '-', 1) = any($2))
order by d.home, d.stream;

-- name: reserve_numbers
insert into number_blocks as n (tenant, prefix, next) values ($1, $2, 1 + $3)
on conflict (tenant, prefix) do update set next = n.next + $3
returning next - $3;

-- name: offset
select next_offset from offsets where cluster_id = $1 and topic = $2 and partition = $3;

-- name: tracking
select position from tracking where name = $1;

-- name: acquire_lease
insert into leases as l (name, holder, until) values ($1, $2, $4)
on conflict (name) do update set holder = $2, until = $4 where l.holder = $2 or l.until < $3
returning 1;

-- name: release_lease
delete from leases where name = $1 and holder = $2;

-- name: forget_answered
delete from outbox_commands o
where o.published_at <= $1 and exists (select 1 from verdicts v where v.command_id = o.command_id);

-- name: due_commands
select command_id, home, type, body, meta, due_at from outbox_commands
where due_at <= $1 and (published_at is null or published_at <= $2)
order by due_at, seq limit $3;

-- name: mark_published
update outbox_commands set published_at = $2 where command_id = any($1);

-- name: republish_all
update outbox_commands set published_at = null where published_at is not null;

-- name: make_subject_keys
insert into subject_keys (home, wrapped, kek_id)
select * from unnest($1::text[], $2::bytea[], $3::text[])
on conflict do nothing
returning home;

-- name: read_subject_keys
select home, wrapped, kek_id from subject_keys where home = any($1);

-- name: destroy_subject_keys
insert into subject_keys (home, destroyed_at) select home, $2 from unnest($1::text[]) home
on conflict (home) do update set wrapped = null, kek_id = null, destroyed_at = excluded.destroyed_at
where subject_keys.destroyed_at is null;

-- name: add_references
insert into gateway_references (tenant, gateway_id, reference, key)
select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])
order by 1, 2, 3, 4
on conflict do nothing;

-- name: find_references
select r.tenant, r.gateway_id, r.reference, array(
    select g.key from gateway_references g
    where (g.tenant, g.gateway_id, g.reference) = (r.tenant, r.gateway_id, r.reference)
    order by g.key limit $4
) as keys
from unnest($1::text[], $2::text[], $3::text[]) as r(tenant, gateway_id, reference);

-- name: add_raw_notification
insert into raw_notifications as n
    (raw_ref, tenant, gateway_id, standing, headers, body, received_at, deliveries)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (tenant, raw_ref) do update set
    deliveries = n.deliveries + 1,
    standing = case when n.standing = 'VERIFIED' then n.standing else excluded.standing end;

-- name: raw_notification
select raw_ref, tenant, gateway_id, standing, headers, body, received_at, deliveries
from raw_notifications where (tenant, raw_ref) = ($1, $2);

-- name: forget_raw_notifications
delete from raw_notifications where (tenant, raw_ref) in (
    select tenant, raw_ref from raw_notifications where received_at < $1 order by received_at limit $2
)
returning 1;
