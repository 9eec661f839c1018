"""The store: jobs, transitions, comparisons, tokens, frames and scalar history; SQLite, or PostgreSQL by its URL."""

from server.store.comparisons import ComparisonStore, UnknownComparison
from server.store.database import Database
from server.store.frames import FrameStore
from server.store.job_lists import JobFilter
from server.store.jobs import JobStore, NotEnded, QueueFull, StaleAttempt, UnknownJob
from server.store.keys import KeyReused
from server.store.sealer import Rule, Sealer
from server.store.segments import Segments
from server.store.tokens import EndedToken, TokenStore, UnknownToken

__all__ = [
    "ComparisonStore",
    "Database",
    "EndedToken",
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
    "TokenStore",
    "UnknownComparison",
    "UnknownJob",
    "UnknownToken",
]
