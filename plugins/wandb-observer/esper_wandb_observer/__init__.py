"""The observer `wandb`."""
