"""What the distribution registers, and that registering imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from esper_lstm_v2.config import LstmV1Config, LstmV2Config
from esper_lstm_v2.plugin import esper_components


def test_registering_imports_no_torch() -> None:
    code = "import sys, esper_lstm_v2.plugin, esper_lstm_v2.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_components() -> None:
    specs = {spec.name: spec for spec in esper_components()}
    assert set(specs) == {"lstm-v2", "lstm-v1"}
    assert specs["lstm-v2"].defaults["critic"] == "op-conditioned-critic"
    assert specs["lstm-v1"].defaults["critic"] == "state-value"
    for spec in specs.values():
        assert spec.kind == "network" and "network:op-logits" in spec.provides
        assert spec.defaults["features"] == "obs-v3" and spec.defaults["loss"] == "factored-ppo"


def test_defaults_and_bounds() -> None:
    assert (LstmV2Config().hidden_dim, LstmV2Config().lstm_layers, LstmV2Config().embed_dim) == (512, 1, 4)
    assert LstmV1Config().hidden_dim == 128
    for wrong in ({"hidden_dim": 2}, {"lstm_layers": 0}, {"embed_dim": 0}):
        with pytest.raises(ValueError):
            LstmV2Config(**wrong)
