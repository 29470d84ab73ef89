"""What Python calls and commands are made of: planning, training, resuming, loading and playing."""
