"""What tasks, hosts and blueprints must do, as declared lists of checks."""
