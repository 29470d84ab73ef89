"""The loss `factored-ppo`: proximal policy optimisation over factored, masked heads."""
