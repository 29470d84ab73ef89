"""Canaries: components that are wrong in one way each, so that checks can be seen to fail."""
