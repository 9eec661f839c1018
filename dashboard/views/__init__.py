"""One page a file, and the drawers of Jobs.

Views fetch through `dashboard.session`, compute through `dashboard.figures`, and compose.
"""

PATHS = ("live", "compare", "memory", "learn", "jobs", "system")
"""The pages' addresses in the order of the navigation; `dashboard.app` draws them."""
