"""What a learned policy is worth: it and other ways to act on the same episodes, compared."""
