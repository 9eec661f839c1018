"""Running jobs: one supervisor over an interchangeable executor."""
