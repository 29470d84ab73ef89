"""What a run leaves behind: its directory and its checkpoints. Reading them back imports no torch."""
