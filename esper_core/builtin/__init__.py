"""The plugin of the core itself: kinds, the features `flat`, the observer `tensorboard`, and commands."""
