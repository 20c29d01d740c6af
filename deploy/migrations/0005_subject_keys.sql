-- Runs before a deploy.  The keys of data subjects, each wrapped under the key-encryption key; none in the log.
-- depends: 0004_work_lanes

create table subject_keys (
    home text primary key,
    wrapped bytea,
    kek_id text,
    destroyed_at timestamptz,
    check ((wrapped is null) = (destroyed_at is not null))
);
