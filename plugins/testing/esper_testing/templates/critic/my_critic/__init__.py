"""A critic for esper: V(s)."""
