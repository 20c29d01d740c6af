-- Runs before a deploy.  Finding what was published long ago must not pass over every timer.
-- depends: 0001_store

create index outbox_published on outbox_commands (published_at) where published_at is not null;
