"""What all test suites share; it is found from whatever folder pytest is run in."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

pytest_plugins = ["tests.command", "tests.conformance"]
