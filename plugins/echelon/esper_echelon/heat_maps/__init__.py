"""Where on the map things happen."""
