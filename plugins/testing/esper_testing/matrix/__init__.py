"""The matrix: which components are said to fit together, and which really do."""
