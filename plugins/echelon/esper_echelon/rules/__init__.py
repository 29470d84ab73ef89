"""Rules that drive a team."""
