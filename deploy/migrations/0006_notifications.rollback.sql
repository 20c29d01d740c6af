drop table gateway_references, raw_notifications;
