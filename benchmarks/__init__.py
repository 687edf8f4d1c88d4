"""Benchmarks of async_oauth_guard: `python -m benchmarks --help`."""
