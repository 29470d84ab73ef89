"""Checks of the kinds that are declared here."""
