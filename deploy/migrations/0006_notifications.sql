-- Runs before a deploy.  What gateways tell of their own: its bytes, and by which names they call our operations.
-- depends: 0005_subject_keys

create table gateway_references (
    tenant text not null,
    gateway_id text not null,
    reference text not null,
    key text not null,
    primary key (tenant, gateway_id, reference, key)
);

insert into gateway_references (tenant, gateway_id, reference, key)
with call as (
    select split_part(stream, '/', 1) as tenant, stream, topic, convert_from(data, 'UTF8')::jsonb as told
    from log where topic like 'gateway\_call.%'
), planned as (
    select tenant, stream, told ->> 'gateway_id' as gateway_id, told ->> 'idempotency_key' as key, told
    from call where topic = 'gateway_call.planned.v1'
)
select p.tenant, p.gateway_id, p.told ->> 'merchant_reference', p.key from planned p
union
select p.tenant, p.gateway_id, built_on, p.key
from planned p, unnest(array[p.told ->> 'authorization_ref', p.told ->> 'payment_ref']) as built_on
where built_on is not null and p.told ->> 'operation' in ('REVERSE', 'VOID')
union
select p.tenant, p.gateway_id, c.told -> 'outcome' ->> 'gateway_ref', p.key
from planned p join call c using (stream)
where c.told -> 'outcome' ->> 'gateway_ref' is not null
on conflict do nothing;

create table raw_notifications (
    tenant text not null,
    raw_ref text not null,
    gateway_id text not null,
    standing text not null,
    headers jsonb not null,
    body bytea not null,
    received_at timestamptz not null,
    deliveries int not null,
    primary key (tenant, raw_ref)
);
create index raw_notifications_age on raw_notifications (received_at);
