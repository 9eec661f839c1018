"""Backups of a running service, and starting anew from one.

A backup is a folder: the store as one file, what workers keep beside it (spools, checkpoints, logs), sealed segments,
and `backup.json`, which lists every file with its SHA-256 and how many rows each table had. The admin token stays
out unless it is asked for.
"""
