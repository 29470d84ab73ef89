"""Composition: from what was asked for to a plan, and from a plan to the objects that train."""
