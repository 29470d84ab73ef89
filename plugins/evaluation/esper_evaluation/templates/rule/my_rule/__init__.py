"""A rule for esper: act now and then, at random."""
