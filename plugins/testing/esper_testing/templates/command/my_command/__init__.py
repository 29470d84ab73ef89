"""A command of esper: how many components of each kind are installed."""
