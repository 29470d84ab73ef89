"""Partners for a component that is checked by itself: small, correct, and of no other use."""
