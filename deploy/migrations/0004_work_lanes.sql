-- Runs before a deploy.  Each gateway has a lane of its own: what is due is found gateway by gateway.
-- depends: 0002_outbox_published

alter table gateway_work add column tenant text not null generated always as (split_part(home, '/', 1)) stored;
create index gateway_work_lanes on gateway_work (tenant, gateway_id, due_at) where not answered;
drop index gateway_work_due;
