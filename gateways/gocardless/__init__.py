"""GoCardless: payments by direct debit under a mandate, which take days and may fail late."""
