"""The SM3 Scope service: launches, stores and serves training jobs over REST."""
