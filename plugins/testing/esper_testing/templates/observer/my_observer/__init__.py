"""An observer for esper: some metrics as a table."""
