"""Timings behind docs/benchmarks.md."""
