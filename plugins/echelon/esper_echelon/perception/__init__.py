"""What a mech perceives: who sees whom, and the 706 numbers."""
