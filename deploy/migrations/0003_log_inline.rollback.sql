alter table verdicts alter column outcome set statistics -1, alter column meta set statistics -1,
    alter column fingerprint set statistics -1;
alter table log alter column data set statistics -1, alter column meta set statistics -1;
alter table verdicts reset (autovacuum_analyze_scale_factor);
alter table log reset (toast_tuple_target, autovacuum_analyze_scale_factor);
