"""Blueprints: what can be grown in a slot."""
