"""Benchmarks: ratios, measured side by side in one run, on an embedded stack of their own."""
