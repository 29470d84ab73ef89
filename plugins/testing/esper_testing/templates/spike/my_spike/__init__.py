"""A spike for esper: does an untrained policy begin undecided?."""
