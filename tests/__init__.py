"""What the suites share. A package, so that none that a distribution brings by this name, as glicko2, hides it."""
