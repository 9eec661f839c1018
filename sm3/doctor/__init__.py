"""`sm3 doctor`: is everything here as training and serving need it, and what to do where it is not.

Each check is a function that returns :class:`~sm3.remote.health_views.Check` values and never raises for what it looks
for. What only the service's code knows (settings, store) is asked of ``python -m server.diagnosis``.
"""
