"""Echelon: two teams of mechs that fight for a zone, its observation, networks, rules, curriculum and heat maps."""
