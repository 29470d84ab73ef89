"""What `esper plugins new` copies: one real distribution per kind, `my-KIND` by name."""
