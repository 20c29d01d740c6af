"""A gateway to test with: deterministic, scriptable, with its own process and its own ledger on disk."""
