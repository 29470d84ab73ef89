"""What every task must do."""

from __future__ import annotations

import pickle
from itertools import pairwise

import torch

from esper_core.composition.build import build_beside
from esper_growth.conformance.options import with_other_options
from esper_growth.conformance.stand_in import INSTANCES
from esper_growth.protocols import Split, Task, axes_of, changes_of, label_of, last_change_of
from esper_testing.conformance.subject import Subject
from esper_testing.conformance.suite import Suite
from esper_testing.fake_device import FakeDevice
from esper_testing.randomness import untouched_randomness

SUITE = Suite(
    "task",
    (
        "shapes",
        "types",
        "targets",
        "classes",
        "disjoint",
        "repeatable",
        "randomness",
        "picklable",
        "name",
        "label",
        "device",
        "family",
        "changes",
    ),
)

SPLITS = ("train", "validation", "test")

DRAWN = 8
"""Instances whose changes are looked at."""


def _phases(task: Task) -> list[Task]:
    """Return a task and what becomes of it."""
    return [task, *(change.task for change in changes_of(task))]


def _splits(task: Task) -> dict[str, Split]:
    return {name: getattr(task, name) for name in SPLITS}


def _task(subject: Subject) -> Task:
    return subject.once("task", subject.build)


@SUITE.check("shapes")
def shapes(subject: Subject) -> None:
    """Its splits hold inputs `[S, C, *spatial]`, all of one shape per sample, and as many targets `[S]`."""
    splits = _splits(_task(subject))
    for name, split in splits.items():
        inputs, targets = tuple(split.inputs.shape), tuple(split.targets.shape)
        assert len(inputs) >= 3, f"{name}: inputs have shape {inputs}, not [S, C, *spatial]"
        assert targets == inputs[:1], f"{name}: targets have shape {targets}, not ({inputs[0]},)"
        assert inputs[0] > 0, f"{name} is empty"
        expected = tuple(splits["train"].inputs.shape[1:])
        assert inputs[1:] == expected, f"{name}: a sample has shape {inputs[1:]}; one of train has {expected}"


@SUITE.check("types", after=("shapes",))
def types(subject: Subject) -> None:
    """Inputs are finite numbers of the run's dtype, targets int64."""
    for dtype in (torch.float32, torch.float64):
        for name, split in _splits(subject.build(dtype=dtype)).items():
            assert split.inputs.dtype == dtype, f"{name}: inputs are {split.inputs.dtype}, where {dtype} is asked for"
            assert split.targets.dtype == torch.int64, f"{name}: targets are {split.targets.dtype}, not int64"
            bad = int((~split.inputs.isfinite()).flatten(1).any(1).sum())
            assert not bad, f"{name}: {bad} of {len(split.inputs)} samples hold numbers that are not finite"


@SUITE.check("targets", after=("shapes",))
def targets(subject: Subject) -> None:
    """Targets are class indices from 0 to `classes` − 1, of at least two classes."""
    task = _task(subject)
    assert isinstance(task.classes, int) and task.classes >= 2, f"it has {task.classes!r} classes"
    for name, split in _splits(task).items():
        low, high = int(split.targets.min()), int(split.targets.max())
        inside = low >= 0 and high < task.classes
        assert inside, f"{name}: targets go from {low} to {high}, and there are {task.classes} classes"


@SUITE.check("classes", after=("targets",))
def classes(subject: Subject) -> None:
    """Every class occurs in every split; where a task changes, at the end."""
    task = _phases(_task(subject))[-1]
    for name, split in _splits(task).items():
        counts = torch.bincount(split.targets, minlength=task.classes)
        absent = (counts == 0).nonzero().flatten().tolist()
        assert not absent, f"{name} has no sample of the classes {absent}"


@SUITE.check("disjoint", after=("shapes",))
def disjoint(subject: Subject) -> None:
    """No sample is in two splits, also where a task changes."""
    known: dict[bytes, str] = {}
    phases = _phases(_task(subject))
    for name in SPLITS:
        samples = (sample for phase in phases for sample in getattr(phase, name).inputs.contiguous().cpu())
        rows = {sample.numpy().tobytes() for sample in samples}
        shared = [known[row] for row in rows if row in known]
        assert not shared, f"{len(shared)} samples of {name} are in {shared[0]} too"
        known |= dict.fromkeys(rows, name)


@SUITE.check("repeatable", after=("shapes",))
def repeatable(subject: Subject) -> None:
    """Built again, or looked at again, it holds the same samples in the same order."""
    task = _task(subject)
    for when, other in (("looked at again", task), ("built again", subject.build())):
        where = _difference(task, other)
        assert not where, f"{when}, {where} differ"


@SUITE.check("randomness")
def randomness(subject: Subject) -> None:
    """It is made without the global random numbers of torch, numpy and Python."""
    with untouched_randomness("it"):
        subject.build()


@SUITE.check("picklable", after=("shapes",))
def picklable(subject: Subject) -> None:
    """It can be pickled, since hosts may train in other processes."""
    task = _task(subject)
    other = pickle.loads(pickle.dumps(task))
    where = _difference(task, other)
    assert not where, f"pickled, {where} differ"
    assert other.name == task.name, f"pickled, it is called '{other.name}', not '{task.name}'"


@SUITE.check("name", after=("repeatable",))
def name(subject: Subject) -> None:
    """Its name says what the data are: with options that change them it is another one."""
    task = _task(subject)
    assert isinstance(task.name, str) and task.name.strip(), f"its name is {task.name!r}"
    for option, other in with_other_options(subject):
        if _difference(task, other) or other.classes != task.classes:
            assert other.name != task.name, (
                f"{option} gives other data under the same name '{task.name}', under which static curves are kept"
            )


@SUITE.check("label", after=("name",))
def label(subject: Subject) -> None:
    """If it says what its episodes are told apart by, that is a text; of an instance always the same."""
    task, other = _task(subject), subject.build()
    known = [(task, other)]
    if hasattr(task, "draw"):
        known += [(task.draw(instance), other.draw(instance)) for instance in INSTANCES]
    for one, again in known:
        found = getattr(one, "label", "")
        assert isinstance(found, str) and found == found.strip(), f"the label of '{one.name}' is {found!r}"
        assert label_of(one) == label_of(again), (
            f"the label of '{one.name}' is '{label_of(one)}', and built again '{label_of(again)}'"
        )


@SUITE.check("device", after=("shapes",))
def device(subject: Subject) -> None:
    """Its samples lie on the run's device."""
    with FakeDevice() as fake:
        task = build_beside(subject.component, subject.full_index, subject.context(device=fake.name), subject.config())
        for split_name, split in _splits(task).items():
            for what in ("inputs", "targets"):
                where = getattr(split, what).device.type
                assert where == fake.name, f"{split_name}: {what} lie on {where}, where the run is on another device"


@SUITE.check("family", after=("repeatable",))
def family(subject: Subject) -> None:
    """If it is a family, an instance's task is always the same, whatever was drawn before, and says what it is."""
    whole = _task(subject)
    if not hasattr(whole, "draw"):
        return
    where = _difference(whole, whole.draw(0))
    assert not where, f"{where} are not those of instance 0"
    drawn = {instance: whole.draw(instance) for instance in INSTANCES}
    other = subject.build()
    for instance in reversed(INSTANCES):
        task = drawn[instance]
        where = _difference(task, other.draw(instance))
        assert not where, f"instance {instance}, drawn in another order: {where} differ"
        assert task.classes == whole.classes, f"instance {instance} has {task.classes} classes, not {whole.classes}"
        axes = task.train.inputs.dim() - 2
        assert axes in axes_of(whole), f"instance {instance} has {axes} axes of space, not {axes_of(whole)}"
        same = [i for i, one in drawn.items() if one.name == task.name and _difference(one, task)]
        assert not same, f"instances {instance} and {same[0]} have other data under the same name '{task.name}'"


@SUITE.check("changes", after=("shapes",))
def changes(subject: Subject) -> None:
    """If it changes while a host trains, then in order, to something that looks alike, and at various epochs."""
    whole = _task(subject)
    drawn = [whole, *(map(whole.draw, range(DRAWN)) if hasattr(whole, "draw") else ())]
    for task in drawn:
        epochs = [0, *(change.epoch for change in changes_of(task))]
        assert all(a < b for a, b in pairwise(epochs)), f"'{task.name}' changes at epochs {epochs[1:]}, not in order"
        for before, after in pairwise(_phases(task)):
            assert _looks(before) == _looks(after), (
                f"'{task.name}' has samples, classes and sizes {_looks(before)}, and after a change {_looks(after)}: "
                "what can be seen of it gives the change away"
            )
            assert _own_difference(before, after), f"'{task.name}' is the same after a change"
        assert epochs[-1] <= last_change_of(whole), (
            f"'{task.name}' changes at epoch {epochs[-1]}, after its family's last_change={last_change_of(whole)}"
        )
    firsts = [changes_of(task)[0].epoch for task in drawn if changes_of(task)]
    assert len(firsts) < 2 or len(set(firsts)) > 1, (
        f"all of {len(firsts)} instances change at epoch {firsts[0]}, so that a policy can know when"
    )


def _looks(task: Task) -> tuple[object, ...]:
    """Return what decides what is published about a task."""
    sizes = tuple(len(split.targets) for split in _splits(task).values())
    return (tuple(task.train.inputs.shape[1:]), task.classes, sizes)


def _difference(task: Task, other: Task) -> str:
    """Return which tensors of two tasks differ first, or how they change; empty where nothing does."""
    ours, theirs = changes_of(task), changes_of(other)
    if [change.epoch for change in ours] != [change.epoch for change in theirs]:
        return "the epochs of changes"
    found = (_own_difference(a, b) for a, b in zip(_phases(task), _phases(other), strict=True))
    return next((where for where in found if where), "")


def _own_difference(task: Task, other: Task) -> str:
    """Return which tensors of two tasks differ first, whatever becomes of them; empty where none do."""
    for split in SPLITS:
        for what in ("inputs", "targets"):
            ours, theirs = getattr(getattr(task, split), what), getattr(getattr(other, split), what)
            if ours.shape != theirs.shape or not torch.equal(ours, theirs):
                return f"{split}'s {what}"
    return ""
