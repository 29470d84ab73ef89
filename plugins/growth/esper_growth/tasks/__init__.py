"""Tasks: what hosts are trained on."""
