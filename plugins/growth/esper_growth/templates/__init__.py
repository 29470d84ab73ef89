"""What `esper plugins new` copies for growth's kinds: one real distribution each, `my-KIND` by name."""
