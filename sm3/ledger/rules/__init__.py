"""One optimizer a file: what it keeps for a parameter, and where that stands."""
