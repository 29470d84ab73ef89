"""The adapter: spaces, masks, ends of episodes, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from esper_core import SlotConfig
from esper_core.contracts.errors import ConfigError, EsperError, UserError
from esper_core.learning.session import open_session
from esper_core.registry.build import build_parts
from esper_core.registry.index import Index, load_index
from esper_core.registry.plan import PlanRequest, make_plan
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.describe import describe
from esper_gymnasium_env.scaling import Scaling

pytest_plugins = ["esper_core.testing.pytest"]
SLOTS = SlotConfig.for_grid(1, 3)


@pytest.fixture(scope="module")
def index() -> Index:
    return load_index()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(gymnasium.registry)
    sys.modules.get("toys") or toys()
    toys().register_all()
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)
