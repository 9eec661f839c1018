"""The store: jobs, transitions, comparisons, frames and scalar history; SQLite, or PostgreSQL by its URL."""

from server.store.comparisons import ComparisonStore, UnknownComparison
from server.store.database import Database
from server.store.frames import FrameStore
from server.store.job_lists import JobFilter
from server.store.jobs import JobStore, NotEnded, QueueFull, StaleAttempt, UnknownJob
from server.store.keys import KeyReused
from server.store.sealer import Rule, Sealer
from server.store.segments import Segments

__all__ = [
    "ComparisonStore",
    "Database",
    "FrameStore",
    "JobFilter",
    "JobStore",
    "KeyReused",
    "NotEnded",
    "QueueFull",
    "Rule",
    "Sealer",
    "Segments",
    "StaleAttempt",
    "UnknownComparison",
    "UnknownJob",
]
