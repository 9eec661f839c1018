"""The store: jobs, transitions, comparisons, frames and scalar history; SQLite, or PostgreSQL by its URL."""

from server.store.comparisons import ComparisonStore, UnknownComparison
from server.store.database import Database
from server.store.frames import FrameStore, StaleAttempt
from server.store.jobs import JobStore, UnknownJob
from server.store.sealer import Rule, Sealer
from server.store.segments import Segments

__all__ = [
    "ComparisonStore",
    "Database",
    "FrameStore",
    "JobStore",
    "Rule",
    "Sealer",
    "Segments",
    "StaleAttempt",
    "UnknownComparison",
    "UnknownJob",
]
