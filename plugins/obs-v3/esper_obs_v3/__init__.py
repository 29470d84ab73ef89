"""Observation V3: features of growing networks."""
