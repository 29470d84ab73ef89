"""Hosts in other processes: the same numbers, errors that arrive, and nobody left behind."""

import multiprocessing
import os
import random
import signal
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from esper_core.contracts.errors import EsperError, PluginError
from esper_growth.actions import Algorithm
from esper_growth.config import GrowthConfig
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import EngineRuntime, LoopRuntime
from esper_growth.problems import Problems
from esper_growth.stages import Stage
from esper_growth.workers import Workers, shared_out

HOLD = SeedSetting(Stage.HOLDING, 1.0, Algorithm.ADD, False)


def dealt(instances, count):
    """Share instances out, the first one last, so that neither shares nor their positions are in order."""
    positions = [*range(1, len(instances)), 0]
    return [positions[first::count] for first in range(count)]


@pytest.fixture
def make(make_context):
    """Return a function that makes the maker of a runtime, with `more` blueprints."""
    parts, config = make_context().parts, GrowthConfig(batch_size=50)
    return lambda kind=LoopRuntime, **more: partial(
        kind, config, Problems(parts["task"], parts["host"], {**parts["blueprint"], **more}, 3)
    )


@pytest.fixture
def open_workers(make, request):
    def open_(count, kind=LoopRuntime, **more):
        runtime = Workers(make(kind, **more), count, dealt)
        request.addfinalizer(runtime.close)
        return runtime

    return open_


def play(runtime):
    """Grow, change, prune and measure; return everything that came out."""
    runtime.start([3, 4, 5])
    runtime.germinate(2, 1, "conv_light", Algorithm.GATE)
    runtime.germinate(0, 0, "norm", Algorithm.ADD)
    runtime.set_algorithm(2, 1, Algorithm.ADD)
    seen = [runtime.seed_parameters()]
    settings = [{0: HOLD}, {}, {1: HOLD}]
    for pairs in (False, True):
        seen += [*runtime.train_epoch(settings, [True] * 3)]
        seen += [value for value in runtime.validate(settings, [True] * 3, pairs) if value is not None]
        if not pairs:
            runtime.snapshot({0: [0], 2: []})
    runtime.restore(2)
    seen += runtime.weights(2).values()
    runtime.remove(2, 1)
    return [value.nan_to_num(7.0) for value in (*seen, runtime.seed_parameters())]


@pytest.mark.parametrize(("kind", "count"), [(LoopRuntime, 2), (EngineRuntime, 2), (FusedRuntime, 5)])
def test_the_numbers_are_those_of_one_process(open_workers, make, kind, count):
    there, here = play(open_workers(count, kind)), play(make(kind)())
    assert all(torch.equal(a, b) for a, b in zip(there, here, strict=True))


class Drawing(LoopRuntime):
    """Its hosts draw from the streams of the process."""

    def seed_parameters(self):
        drawn = [torch.rand(()), random.random(), np.random.rand()]
        return torch.tensor([drawn] * len(self.hosts), dtype=torch.float64)


def test_what_processes_draw_depends_on_the_episode_alone(open_workers):
    def drawn(runtime, instances):
        runtime.start(instances)
        return runtime.seed_parameters()

    old = open_workers(2, Drawing)
    first = drawn(old, [1, 2])
    assert not torch.equal(drawn(old, [3, 4]), first) and not torch.equal(first[0], first[1])
    torch.rand(3)
    assert torch.equal(drawn(open_workers(2, Drawing), [1, 2]), first)
    assert torch.equal(drawn(old, [1, 2]), first)


def test_an_error_arrives_with_the_component_that_raised_it(open_workers):
    def build(channels, spatial):
        raise SystemExit(0)

    runtime = open_workers(2, failing=SimpleNamespace(topologies=("image",), build=build))
    runtime.start([0, 1])
    with pytest.raises(PluginError, match=r"The blueprint 'failing' failed while .*: SystemExit: 0"):
        runtime.germinate(1, 0, "failing", Algorithm.ADD)
    runtime.germinate(1, 0, "norm", Algorithm.ADD)
    assert runtime.seed_parameters()[1, 0] == 33, "the process is still there"


def test_a_process_that_dies_is_named(open_workers):
    runtime = open_workers(2)
    runtime.start([0, 1])
    os.kill(runtime._hosts._children[1].process.pid, signal.SIGKILL)
    with pytest.raises(EsperError, match=r"Worker 1 of 2, with the hosts 0: .* ended unexpectedly") as caught:
        runtime.train_epoch([{}, {}], [True, True])
    assert "environment.workers=1" in caught.value.hint
    processes = [child.process for child in runtime._hosts._children]
    runtime.close()
    assert all(not process.is_alive() for process in processes)
    runtime.start([0, 1])
    assert runtime.seed_parameters().shape == (2, 3), "it can be started again"


def test_one_worker_needs_no_process_and_a_daemon_may_have_none(make, monkeypatch):
    assert isinstance(shared_out(make(), 1, dealt), LoopRuntime)
    assert isinstance(shared_out(make(), 3, dealt), Workers)
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    assert isinstance(shared_out(make(), 3, dealt), LoopRuntime)


@pytest.mark.parametrize("kind", [LoopRuntime, FusedRuntime])
def test_hosts_are_born_by_one_thread(make, kind):
    """A process that was forked has none of its parent's threads, and other threads round otherwise."""
    seen, runtime = [], make(kind)()
    builder = runtime._problems.at(3).builder

    def watched(build, *arguments):
        seen.append(torch.get_num_threads())
        return build(*arguments)

    for name in ("host", "branch", "gate"):
        setattr(builder, name, partial(watched, getattr(builder, name)))
    torch.set_num_threads(2)
    runtime.start([3])
    runtime.germinate(0, 1, "conv_light", Algorithm.GATE)
    assert seen == [1, 1, 1] and torch.get_num_threads() == 2
