"""What the suites share: a package, so that none that a distribution brings by this name, as glicko2, hides it."""
