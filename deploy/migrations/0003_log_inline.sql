-- Runs before a deploy.  A fact of some kilobytes stays in its row as it is: compressing it takes longer than all
-- else that is done to store it, and every reader would undo it.  Nobody asks for rows by what they say, and
-- what is only added to looks tomorrow as it does today: a tenth more rows is no reason to look again.
-- depends: 0002_outbox_published

alter table log set (toast_tuple_target = 4096, autovacuum_analyze_scale_factor = 1);
alter table verdicts set (autovacuum_analyze_scale_factor = 1);
alter table log alter column data set statistics 0, alter column meta set statistics 0;
alter table verdicts alter column outcome set statistics 0, alter column meta set statistics 0,
    alter column fingerprint set statistics 0;
