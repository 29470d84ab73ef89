"""A host for esper: a patch embedding and 1×1 convolutions."""
