"""One page a file. Views fetch through `dashboard.session`, compute through `dashboard.figures`, and compose."""
