drop index outbox_published;
