"""Masks for esper: a bound on how many seeds grow at a time."""
