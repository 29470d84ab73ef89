"""What all test suites share."""

pytest_plugins = ["tests.command", "tests.conformance"]
