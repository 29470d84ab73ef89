"""A blueprint for esper: a dilated convolution."""
