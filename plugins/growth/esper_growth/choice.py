"""Which runtime trains hosts: the one that is asked for, or the one that is fastest here."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from contextlib import suppress

import torch
from attrs import evolve

from esper_core.contracts.errors import DamagedFile, UserError
from esper_core.system.cache import Cache
from esper_core.system.json_files import read_json
from esper_growth.config import GrowthConfig
from esper_growth.engine import compiler
from esper_growth.engine.compiler import NoCompiler
from esper_growth.engine.graph import Unknown
from esper_growth.engine.host import EngineHost
from esper_growth.engine.network import SUFFIX
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.loop import LoopHost
from esper_growth.one_by_one import EngineRuntime, HostInTraining, LoopRuntime
from esper_growth.problems import Problem, Problems
from esper_growth.protocols import Split
from esper_growth.runtime import one_thread

CACHE = "runtimes"
"""Name of the cache of what was measured."""

STEPS, TURNS = 3, 3
"""Optimiser steps of one turn, and turns of each runtime after one that warms up."""

LOOKED_AT = 16
"""Instances whose hosts are measured, each architecture once; a family has several."""

MARGIN = 0.9
"""The loop is chosen where it takes less than this share of the engine's time."""

_logger = logging.getLogger(__name__)

Kind = type[EngineRuntime] | type[LoopRuntime] | type[FusedRuntime]

KINDS: dict[str, Kind] = {"engine": EngineRuntime, "loop": LoopRuntime, "fused": FusedRuntime}


def choose(config: GrowthConfig, problems: Problems, precision: str) -> Kind:
    """Return the runtime that `environment.runtime` names.

    For 'auto' it is `fused` on a GPU and in half precision, else whichever of `engine` and `loop` is faster here: that
    is measured once for each architecture and machine, and kept; of a family, by what its hosts take together.

    Raises:
        UserError: the engine is asked for where it does not work.
        NoCompiler: it is asked for, and cannot be compiled.
    """
    inputs = problems.at(0).task.train.inputs
    works = inputs.device.type == "cpu" and inputs.dtype in SUFFIX and precision == "float32"
    if config.runtime == "engine" and not works:
        raise UserError(
            f"environment.runtime=engine works on the CPU in float32, not on {inputs.device} in {precision}.",
            hint="Leave it out.",
        )
    if config.runtime != "auto":
        return KINDS[config.runtime]
    if not works:
        return FusedRuntime
    try:
        compiler.load()
        seconds = _measured(config, problems)
    except NoCompiler as error:
        _logger.warning("Hosts train in PyTorch's loop, which is slower. %s", error)
        return LoopRuntime
    return LoopRuntime if seconds["loop"] < MARGIN * seconds["engine"] else EngineRuntime


def _measured(config: GrowthConfig, problems: Problems) -> dict[str, float]:
    """Return the seconds that an epoch of some bare hosts takes, by runtime; those that the engine knows."""
    seconds, known = dict.fromkeys(("engine", "loop"), 0.0), dict[tuple[object, ...], dict[str, float]]()
    # The same instances whatever is trained or evaluated, so that a plan has one runtime on a machine.
    for instance in range(LOOKED_AT):
        problem = problems.at(instance)
        host = (problem.builder.name, problem.task.train.inputs.shape[1:])
        if host not in known:
            known[host] = {}
            with suppress(Unknown):
                known[host] = _of(config, problem)
        for name, of_sample in known[host].items():
            seconds[name] += of_sample * len(problem.task.train.targets)
    return seconds


def _of(config: GrowthConfig, problem: Problem) -> dict[str, float]:
    """Return the seconds that a bare host takes to train on a sample, by runtime.

    Raises:
        Unknown: the engine does not know one of its layers.
    """
    cache, shape = Cache.named(CACHE), tuple(problem.task.train.inputs.shape[1:])
    host = (problem.builder.name, shape, problem.task.classes, str(problem.task.train.inputs.dtype), config.batch_size)
    key = (compiler.load().digest, compiler.processor(), torch.__version__, host)
    path = cache.folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json"
    with suppress(OSError, DamagedFile, KeyError, TypeError, ValueError):
        found = read_json(path)
        return {name: float(found[name]) for name in ("engine", "loop")}
    seconds = _measure(config, problem)
    # Where nothing can be kept it is measured again.
    with suppress(OSError):
        cache.keep(path, json.dumps({"host": repr(host), **seconds}).encode())
    return seconds


@one_thread()
def _measure(config: GrowthConfig, problem: Problem) -> dict[str, float]:
    train = problem.splits(0)["train"]
    few = STEPS * config.batch_size
    problem = evolve(
        problem,
        phases=(evolve(problem.phases[0], splits={"train": Split(train.inputs[:few], train.targets[:few])}),),
    )
    orders = [torch.Generator(), torch.Generator()]
    hosts: dict[str, HostInTraining] = {
        "engine": EngineHost.start(problem, 0, config, orders[0], {}),
        "loop": LoopHost.start(problem, 0, config, orders[1], "float32"),
    }
    took: dict[str, list[float]] = {name: [] for name in hosts}
    for _ in range(TURNS + 1):
        for name, host in hosts.items():
            before = time.perf_counter()
            host.train_epoch({})
            took[name].append(time.perf_counter() - before)
    return {name: min(times[1:]) / len(problem.phases[0].splits["train"].targets) for name, times in took.items()}
