"""Proofs under faults: programs with make targets of their own, which print what ``docs/reliability.md`` quotes."""
