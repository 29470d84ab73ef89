"""A policy network for esper: a GRU."""
