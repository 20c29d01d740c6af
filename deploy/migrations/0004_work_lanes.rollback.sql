create index gateway_work_due on gateway_work (due_at) where not answered;
drop index gateway_work_lanes;
alter table gateway_work drop column tenant;
