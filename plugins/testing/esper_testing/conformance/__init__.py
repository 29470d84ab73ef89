"""Conformance: what every component of a kind must do, as declared lists of checks."""
