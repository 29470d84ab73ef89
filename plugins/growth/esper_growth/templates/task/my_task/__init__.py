"""A task for esper: which way do the stripes run?."""
