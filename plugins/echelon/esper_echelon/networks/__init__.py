"""Networks of the arena, and their critic."""
