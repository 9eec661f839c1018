"""The store: jobs, their transitions, frames and scalar history; SQLite by default, PostgreSQL by its URL."""

from server.store.database import Database
from server.store.frames import FrameStore, StaleAttempt
from server.store.jobs import JobStore, UnknownJob

__all__ = ["Database", "FrameStore", "JobStore", "StaleAttempt", "UnknownJob"]
