"""The commands of `esper league`, one file each; importing them imports no torch."""
