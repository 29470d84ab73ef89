"""Opponents for esper: the learner itself."""
