"""The probes' environments: one family per file, each with what is measured in it."""
