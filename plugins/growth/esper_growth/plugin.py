"""Registers the growth environment and what belongs to it. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, KindSpec, hookimpl

LIFECYCLE_READS = ("stage", "age", "alpha_mode", "auto_advance")
GROWING_READS = ("contribution",)
PLATEAU_READS = (
    *("epoch", "accuracy", "stage", "contribution"),
    *("epochs_in_stage", "blueprint", "stabilized", "plateau_epochs"),
)

KINDS = (
    ("task", "Task", "data that hosts are trained on"),
    ("host", "Host", "a network with slots to grow in"),
    ("blueprint", "Blueprint", "a module that can be grown in a slot"),
)

# Name, factory, class of its options, summary.
TASKS = (
    ("digits", "digits:digits", "Digits", "1,797 real 8×8 images of handwritten digits"),
    ("mnist1d", "mnist1d:mnist1d", "Mnist1d", "digits as noisy curves of 40 points, generated"),
    (
        *("mixed", "mixed:MixedTask", "MixedTask"),
        "digits or mnist1d, plain or shuffled, of several sizes, drawn for every instance",
    ),
    (
        "drift",
        "drift:DriftTask",
        "Drift",
        "curves that change during an episode: when and how, every instance draws",
    ),
    ("cifar10", "cifar10:cifar10", "Cifar10", "60,000 colour images of 32×32 pixels, from files of yours"),
    ("synthetic", "synthetic:synthetic", "Synthetic", "made-up 3×32×32 images, for measuring speed"),
)
HOSTS = (
    (
        *("pointwise", "uniform:PointwiseHost", "Pointwise"),
        "1-wide convolutions only: deep enough, but blind to neighbourhoods",
    ),
    ("narrow", "uniform:NarrowHost", "Narrow", "3-wide convolutions of few channels"),
    ("capable", "uniform:CapableHost", "Capable", "5-wide convolutions of many channels: growth buys nothing"),
    ("mixed", "mixed:MixedHost", "MixedHost", "pointwise, narrow or capable, drawn for every instance"),
    ("transformer", "transformer:TransformerHost", "Transformer", "attention over the patches of a curve"),
    ("conv", "conv:ConvHost", "Conv", "3×3 convolutions, 8-16-32 channels wide, each block pooled"),
)
BLUEPRINTS = (
    ("conv-light", "image:conv_light", "", "3×3 convolution, norm, ReLU"),
    (
        *("attention", "image:attention", "Attention"),
        "squeeze-and-excitation over channels; on sequences, self-attention",
    ),
    ("norm", "image:norm", "", "gated group normalisation; 2C+1 parameters"),
    ("depthwise", "image:depthwise", "", "3×3 depthwise and 1×1 convolution, norm, ReLU"),
    ("bottleneck", "image:bottleneck", "Bottleneck", "1×1, 3×3, 1×1 convolutions through a narrow middle"),
    ("conv-small", "image:conv_small", "", "1×1 convolution, norm, ReLU"),
    ("conv-heavy", "image:conv_heavy", "", "two 3×3 convolutions, each with norm and ReLU"),
    ("lora", "sequence:lora", "Lora", "a linear map of low rank"),
    ("lora-large", "sequence:lora_large", "LoraLarge", "a linear map of higher rank"),
    ("mlp-small", "sequence:mlp_small", "", "two layers, twice as wide in the middle"),
    ("mlp", "sequence:mlp", "", "two layers, four times as wide in the middle"),
    ("flex-attention", "sequence:flex_attention", "", "self-attention that knows distances"),
)
# Name, class, summary, state fields it reads.
RULES = (
    ("periodic", "Periodic", "another slot every 6 epochs, whatever happens", (*GROWING_READS, "epoch")),
    ("all-on", "AllOn", "conv-light in every slot at once", GROWING_READS),
    ("all-on-heavy", "AllOnHeavy", "conv-heavy in every slot at once", GROWING_READS),
    ("plateau", "Plateau", "germinate when accuracy stalls, fossilize what contributes", PLATEAU_READS),
)
WORKLOADS = (
    ("digits", "digits:digits", "16 hosts, 3 slots, real digits: training with everything around it"),
    ("conv-small", "conv_small:conv_small", "4 convolutional hosts on synthetic 32×32 images, random legal play"),
    ("mnist1d", "mnist1d:mnist1d", "4 hosts on curves: wide convolutions, and attention; random legal play"),
)


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare the kinds that third parties extend the environment with."""
    for name, protocol, summary in KINDS:
        yield KindSpec(
            name=name,
            protocol=f"esper_growth.protocols:{protocol}",
            conformance=f"esper_growth.conformance.{name}:SUITE",
            template=f"esper_growth.templates:{name}",
            summary=summary,
            several=name == "blueprint",
        )


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the environment, its masks, tasks, hosts, blueprints, rules and workloads."""
    yield ComponentSpec(
        kind="environment",
        name="growth",
        factory="esper_growth.make:growth",
        config="esper_growth.config:GrowthConfig",
        describe="esper_growth.describe:describe",
        metrics="esper_growth.metrics:METRICS",
        summary="hosts training on a real task; one step is one epoch",
        defaults={"masks": "lifecycle", "task": "digits", "host": "pointwise", "workload": "digits"},
    )
    yield ComponentSpec(
        kind="masks",
        name="lifecycle",
        factory="esper_growth.masks:LifecycleMasks",
        summary="what the stage of each slot allows",
        reads=LIFECYCLE_READS,
    )
    for kind, table in (("task", TASKS), ("host", HOSTS), ("blueprint", BLUEPRINTS)):
        for name, factory, config, summary in table:
            yield ComponentSpec(
                kind=kind,
                name=name,
                factory=f"esper_growth.{kind}s.{factory}",
                config=f"esper_growth.config:{config}Config" if config else "",
                example="esper_growth.tasks.cifar10:example" if name == "cifar10" else "",
                summary=summary,
            )
    for name, rule, summary, reads in RULES:
        yield ComponentSpec(kind="rule", name=name, factory=f"esper_growth.rules:{rule}", summary=summary, reads=reads)
    yield ComponentSpec(
        kind="rule",
        name="by-kind",
        factory="esper_growth.by_kind:ByKind",
        config="esper_growth.config:ByKindConfig",
        summary="another rule for each kind of world, as its options say",
        reads=PLATEAU_READS,
        only_by_name=True,
    )
    for name, factory, summary in WORKLOADS:
        yield ComponentSpec(kind="workload", name=name, factory=f"esper_growth.bench.{factory}", summary=summary)
