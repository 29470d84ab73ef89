"""What the suites share: a package, so that one of this name that a distribution brings, as glicko2 does, hides none."""
