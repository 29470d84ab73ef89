"""What every host must do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from operator import methodcaller

import torch
from torch import Tensor, nn
from torch.nn import functional

from esper_core.contracts.errors import EsperError
from esper_growth.conformance import modules, stand_in
from esper_growth.conformance.modules import Case
from esper_growth.conformance.options import with_other_options
from esper_growth.conformance.stepping import check_steps
from esper_growth.one_by_one import LoopRuntime
from esper_growth.problems import Problems
from esper_growth.protocols import Host, fits
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import Suite

SUITE = Suite(
    "host",
    (
        "topology",
        "segments",
        "output",
        "stateless",
        "picklable",
        "repeatable",
        "name",
        "state",
        "gradients",
        "trains",
        "runtimes",
        "exports",
        "family",
    ),
)

BATCH = 5


def _host(subject: Subject) -> Host:
    return subject.once("host", subject.build)


def _shapes(subject: Subject) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of samples that it takes; one it refuses with an EsperError is none of them."""

    def found() -> tuple[tuple[int, ...], ...]:
        host, taken, refusal = _host(subject), [], ""
        for shape in stand_in.SHAPES[host.topology]:
            if not fits(host, host.topology, (len(shape) - 1,)):
                continue
            try:
                host.build(3, shape, stand_in.CLASSES)
                taken.append(shape)
            except EsperError as error:
                refusal = str(error)
        assert taken, f"it takes no samples of the shapes {stand_in.SHAPES[host.topology]}: {refusal}"
        return tuple(taken)

    return subject.once("shapes", found)


def _builder(subject: Subject, slots: int, shape: tuple[int, ...]) -> Callable[[], nn.Module]:
    host = _host(subject)
    return lambda: host.build(slots, shape, stand_in.CLASSES)


def _inputs(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@SUITE.check("topology")
def topology(subject: Subject) -> None:
    """Its topology is one for which there are blueprints."""
    known = ", ".join(stand_in.SHAPES)
    found = _host(subject).topology
    assert found in stand_in.SHAPES, f"its topology is {found!r}; known are {known}"


@SUITE.check("segments", after=("topology",))
def segments(subject: Subject) -> None:
    """It is the composition of N + 1 segments, for every number of slots; at a slot there are channels and space."""
    for slots in SLOTS:
        for shape in _shapes(subject):
            host, x = modules.seeded(_builder(subject, slots, shape)), _inputs(shape)
            parts = getattr(host, "segments", None)
            assert isinstance(parts, nn.ModuleList), f"N={slots}: its segments are a {type(parts).__name__}"
            assert len(parts) == slots + 1, f"N={slots}: it has {len(parts)} segments, not {slots + 1}"
            strangers = set(map(id, host.parameters())) - set(map(id, parts.parameters()))
            assert not strangers, f"N={slots}: {len(strangers)} of its parameters belong to no segment"
            with torch.no_grad():
                whole = host(x)
                for slot, segment in enumerate(parts):
                    x = segment(x)
                    at_slot = slot == slots or x.dim() >= 3
                    assert at_slot, f"N={slots}, {shape}: slot {slot} sees {list(x.shape)}, not [B, C, *spatial]"
            assert torch.equal(whole, x), f"N={slots}, {shape}: its segments, one after another, give another output"


@SUITE.check("output", after=("topology",))
def output(subject: Subject) -> None:
    """Its output is logits `[B, classes]`, finite, for every number of slots and of classes."""
    for slots in SLOTS:
        for shape in _shapes(subject):
            for classes in (2, 10):
                host = modules.seeded(lambda: _host(subject).build(slots, shape, classes))  # noqa: B023
                logits = host(_inputs(shape))
                found, what = tuple(logits.shape), f"N={slots}, samples {shape}"
                assert found == (BATCH, classes), f"{what}: its output has shape {found}, not ({BATCH}, {classes})"
                assert bool(logits.isfinite().all()), f"{what}: its output is not finite"


def _cases(subject: Subject) -> Iterator[Case]:
    for shape in _shapes(subject):
        yield Case(_host(subject), methodcaller("build", 3, shape, stand_in.CLASSES), _inputs(shape))


modules.add_checks(SUITE, _cases, after="output")


@SUITE.check("name", after=("repeatable",))
def name(subject: Subject) -> None:
    """Its name says what it builds: with options that change the modules it is another one."""
    host = _host(subject)
    assert isinstance(host.name, str) and host.name.strip(), f"its name is {host.name!r}"
    again = subject.build().name
    assert again == host.name, f"it is called '{host.name}' and, built again, '{again}'"
    shape = _shapes(subject)[0]
    plain = str(modules.seeded(_builder(subject, 3, shape)))
    for option, other in with_other_options(subject):
        try:
            changed = str(modules.seeded(lambda: other.build(3, shape, stand_in.CLASSES))) != plain  # noqa: B023
        except EsperError:
            continue
        if changed:
            assert other.name != host.name, (
                f"{option} builds other modules under the same name '{host.name}', under which static curves are kept"
            )


@SUITE.check("gradients", after=("output",))
def gradients(subject: Subject) -> None:
    """A gradient reaches every parameter within two steps, for every number of slots."""
    for slots in SLOTS:
        for shape in _shapes(subject):
            split = stand_in.task(shape, torch.float64).train
            host = modules.seeded(_builder(subject, slots, shape))
            modules.check_gradients(
                host,
                lambda step: functional.cross_entropy(host(split.inputs), split.targets),  # noqa: B023
            )


@SUITE.check("trains", after=("segments", "gradients"))
def trains(subject: Subject) -> None:
    """The loop runtime trains it for an epoch: its parameters move, and it can be validated."""
    for slots in (1, 3):
        runtime = LoopRuntime(stand_in.CONFIG, Problems(stand_in.task(_shapes(subject)[0]), _host(subject), {}, slots))
        runtime.start([0, 1])
        before = runtime.weights(0)
        runtime.train_epoch([{}, {}], [True, True])
        still = [key for key, value in runtime.weights(0).items() if torch.equal(value, before[key])]
        assert not still, f"N={slots}: after an epoch {', '.join(still)} are what they were"
        loss = runtime.validate([{}, {}], [True, True], pairs=False).loss.tolist()
        assert all(map(math.isfinite, loss)), f"N={slots}: after an epoch its validation loss is {loss}"
        runtime.close()


@SUITE.check("runtimes", after=("trains",))
def runtimes(subject: Subject) -> None:
    """In another runtime hosts take the steps that they take in plain PyTorch, to 1e-9 in float64."""
    for shape in _shapes(subject):
        check_steps(_host(subject), stand_in.task(shape, torch.float64), {})


@SUITE.check("family", after=("repeatable",))
def family(subject: Subject) -> None:
    """If it is a family, an instance's architecture is always the same, whatever was drawn before, and its own kind."""
    whole, shape = _host(subject), _shapes(subject)[0]
    if not hasattr(whole, "draw"):
        return

    def layers(host: Host) -> str:
        return str(modules.seeded(lambda: host.build(3, shape, stand_in.CLASSES)))

    assert layers(whole) == layers(whole.draw(0)), "what it builds is not the architecture of instance 0"
    drawn = {instance: whole.draw(instance) for instance in stand_in.INSTANCES}
    other = subject.build()
    for instance in reversed(stand_in.INSTANCES):
        host = drawn[instance]
        again = other.draw(instance)
        same = (again.name, layers(again)) == (host.name, layers(host))
        assert same, f"instance {instance}, drawn in another order, is another architecture"
        assert host.topology == whole.topology, f"instance {instance} is of topology '{host.topology}'"
        named = [i for i, one in drawn.items() if one.name == host.name and layers(one) != layers(host)]
        assert not named, f"instances {instance} and {named[0]} are other architectures of one name '{host.name}'"
