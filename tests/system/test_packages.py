"""Only what an installed distribution declares is ever suggested to be installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper_core.contracts.errors import MissingPackage
from esper_core.system.packages import advice, declarations, pinned, require_package


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    info = tmp_path / "acme_net-1.0.dist-info"
    info.mkdir()
    requires = (
        "attrs>=23.2",
        "acme-kernels (>=2,<3)",
        "Acme_Extra~=1.0; extra == 'fast'",
        "acme-strange!=1.0",
        "acme-url @ https://example.invalid/x.whl",
        "$(touch x)",
    )
    lines = ["Metadata-Version: 2.1", "Name: acme-net", "Version: 1.0", *(f"Requires-Dist: {r}" for r in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return "acme-net"


def test_what_is_declared_is_read(acme: str) -> None:
    assert list(declarations(acme)) == [
        ("attrs", "attrs>=23.2", ""),
        ("acme-kernels", "acme-kernels>=2,<3", ""),
        ("acme-extra", "Acme_Extra~=1.0", "extra == 'fast'"),
        ("acme-strange", "acme-strange", ""),
    ]
    assert list(declarations("nobody-has-this")) == []


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("acme_extra.parts", 'pip install "Acme_Extra~=1.0"'),
        # A module may be called otherwise than its distribution: those that are declared and absent may bring it.
        ("kernels", 'pip install "acme-kernels>=2,<3" acme-strange'),
    ],
)
def test_what_is_declared_is_suggested(acme: str, module: str, said: str) -> None:
    assert advice(module, acme) == said


def test_a_name_that_nobody_declares_is_never_suggested() -> None:
    with pytest.raises(MissingPackage, match="'module_nobody_has'") as caught:
        require_package("module_nobody_has", "observer 'x'", "esper-core")
    assert "pip install" not in caught.value.hint and "ask the author of esper-core" in caught.value.hint


@pytest.mark.parametrize(
    ("distribution", "version", "said"),
    [("esper-core", "1.0.dev3+g1", "esper-core==1.0.dev3+g1"), ("x", '1"; touch y; "', None), ("x", "$(id)", None)],
)
def test_records_that_hold_no_name_and_version_give_no_command(
    distribution: str, version: str, said: str | None
) -> None:
    assert pinned(distribution, version) == said
