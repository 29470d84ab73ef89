"""The ground floor and every plugin's front door load without the heavy libraries."""

from __future__ import annotations

import subprocess
import sys

BLOCK = "import sys; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'gymnasium', 'sklearn', 'scipy'), None))\n"


def test_contracts_commands_and_reading_runs_need_no_torch() -> None:
    code = BLOCK + (
        "import importlib, pkgutil, esper_core.contracts as package\n"
        "for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(module.name); print(module.name)\n"
        "import esper_core.cli.app, esper_core.runs.resume, esper_testing.spikes.verdict\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) >= 8


def test_every_entry_point_and_every_config_and_description_needs_no_torch() -> None:
    code = BLOCK + (
        "from importlib import import_module\n"
        "from importlib.metadata import entry_points\n"
        "points = entry_points(group='esper.plugins')\n"
        "for point in points:\n"
        "    plugin = point.load()\n"
        "    for spec in getattr(plugin, 'esper_components', tuple)():\n"
        "        for reference in filter(None, (spec.config, spec.describe)):\n"
        "            module, _, attribute = reference.partition(':')\n"
        "            assert callable(getattr(import_module(module), attribute)), reference\n"
        "print(len(points))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
