"""Fake distributions: what an installer would put on the path, for tests of loading."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from attrs import field, frozen

from esper_core.registry.hookspecs import ENTRY_POINT_GROUP


def _created(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


@frozen
class FakeSite:
    """A folder of installed distributions. It must stand on `sys.path` while it is used.

    Attributes:
        folder: The folder; it is made where it does not exist.
    """

    folder: Path = field(converter=_created)

    def install(
        self,
        distribution: str,
        plugins: Mapping[str, str],
        *,
        version: str = "1.0",
        modules: Mapping[str, str] | None = None,
    ) -> None:
        """Install a distribution: a `dist-info` with entry points, and modules beside it.

        Args:
            distribution: Its name.
            plugins: Entry points: id of the plugin → the dotted module that holds its hooks.
            version: Its version.
            modules: Dotted module → its source; packages on the way are made. A module that is imported already is
                forgotten, so that the new source counts.
        """
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        points = [f"{plugin} = {module}" for plugin, module in plugins.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *points]))
        for module, source in (modules or {}).items():
            self._write(module, source)
        importlib.invalidate_caches()

    def _write(self, module: str, source: str) -> None:
        *packages, name = module.split(".")
        folder = self.folder
        for package in packages:
            folder /= package
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
        (folder / f"{name}.py").write_text(dedent(source))
        top = module.partition(".")[0]
        for known in [known for known in sys.modules if known.partition(".")[0] == top]:
            del sys.modules[known]
