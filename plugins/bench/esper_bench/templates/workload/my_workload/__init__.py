"""A workload for esper: how fast are small hosts trained?."""
