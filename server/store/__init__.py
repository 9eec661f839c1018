"""The store: jobs, transitions, comparisons, tokens, frames and scalar history; SQLite, or PostgreSQL by its URL."""

from server.store.comparisons import ComparisonStore, UnknownComparison
from server.store.database import Database
from server.store.frames import FrameStore, StaleAttempt
from server.store.jobs import JobStore, UnknownJob
from server.store.tokens import EndedToken, TokenStore, UnknownToken

__all__ = [
    "ComparisonStore",
    "Database",
    "EndedToken",
    "FrameStore",
    "JobStore",
    "StaleAttempt",
    "TokenStore",
    "UnknownComparison",
    "UnknownJob",
    "UnknownToken",
]
