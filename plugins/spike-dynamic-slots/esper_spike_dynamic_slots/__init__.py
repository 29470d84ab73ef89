"""Does a policy work with any number of slots? The checks, and the spike that runs them."""
