"""One HTML page about a league. Torch is not imported."""
