"""Matches as an environment: rows, drivers, curriculum, processes."""
