"""Observation V3: what a policy sees of hosts that grow."""
