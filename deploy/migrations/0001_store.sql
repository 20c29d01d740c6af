-- Runs before a deploy.  The store: one log, its two counters, the inbox, and what a transaction carries.
-- depends:

create table head (
    one bool primary key default true check (one),
    position bigint not null default 0,
    verdict_position bigint not null default 0
) with (fillfactor = 10, autovacuum_vacuum_threshold = 50, autovacuum_vacuum_scale_factor = 0);
insert into head default values;

create table log (
    position bigint not null,
    home text not null,
    stream text not null,
    version int not null,
    topic text not null,
    data bytea not null,
    command_id uuid not null,
    meta bytea not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp(),
    last_of_command bool not null,
    constraint log_position primary key (position),
    constraint log_version unique (stream, version)
);
create index log_home on log (home, position);

create table verdicts (
    verdict_position bigint not null,
    command_id uuid not null,
    home text not null,
    type text not null,
    fingerprint bytea not null,
    status text not null,
    outcome bytea not null,
    position bigint not null,
    meta bytea not null,
    recorded_at timestamptz not null default clock_timestamp(),
    constraint verdicts_command primary key (command_id),
    constraint verdicts_position unique (verdict_position)
);

create table offsets (
    cluster_id text not null,
    topic text not null,
    partition int not null,
    next_offset bigint not null,
    primary key (cluster_id, topic, partition)
);

create table claims (
    tenant text not null,
    kind text not null,
    key text not null,
    owner text not null,
    constraint claims_name primary key (tenant, kind, key)
);

create table outbox_commands (
    command_id uuid primary key,
    seq bigint generated always as identity,
    home text not null,
    type text not null,
    body bytea not null,
    meta bytea not null,
    due_at timestamptz not null,
    published_at timestamptz
);
create index outbox_due on outbox_commands (due_at, seq);

create table account_documents (
    home text not null,
    stream text not null,
    primary key (home, stream)
);

create table gateway_work (
    key text primary key,
    home text not null,
    gateway_id text not null,
    operation text not null,
    mode text not null,
    request bytea not null,
    due_at timestamptz not null,
    answered bool not null default false,
    holder text,
    sent_at timestamptz,
    until timestamptz
);
create index gateway_work_due on gateway_work (due_at) where not answered;

create table leases (
    name text primary key,
    holder text not null,
    until timestamptz not null
);

create table tracking (
    name text primary key,
    position bigint not null
);

create table parked (
    seq bigint generated always as identity primary key,
    command_id uuid not null unique,
    home text not null,
    type text not null,
    body bytea not null,
    headers jsonb not null,
    reason text not null,
    at timestamptz not null
);
create index parked_home on parked (home, seq);

create table dead_letters (
    id bigint generated always as identity primary key,
    cluster_id text not null,
    topic text not null,
    partition int not null,
    "offset" bigint not null,
    key bytea,
    value bytea,
    headers jsonb not null,
    code text not null,
    reason text not null,
    at timestamptz not null,
    unique (cluster_id, topic, partition, "offset")
);

create table number_blocks (
    tenant text not null,
    prefix text not null,
    next bigint not null,
    primary key (tenant, prefix)
);
