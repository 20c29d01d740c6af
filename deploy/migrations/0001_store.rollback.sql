drop table head, log, verdicts, offsets, claims, outbox_commands, account_documents, gateway_work, leases,
    tracking, parked, dead_letters, number_blocks;
