"""What new plugins begin with."""
