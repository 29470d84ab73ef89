"""Registers the growth environment and everything it brings. Importing this module imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, KindSpec, hookimpl

LIFECYCLE_READS = ("stage", "age", "alpha_mode", "auto_advance")
PLATEAU_READS = (
    "epoch",
    "accuracy",
    "stage",
    "contribution",
    "epochs_in_stage",
    "blueprint",
    "stabilized",
    "plateau_epochs",
)

HOST_SUMMARIES = {
    "pointwise": "1-wide convolutions only: deep enough, but blind to neighbourhoods",
    "narrow": "3-wide convolutions of few channels",
    "capable": "5-wide convolutions of many channels: growth buys nothing",
}
IMAGE_SUMMARIES = {
    "conv-light": "3×3 convolution, norm, ReLU",
    "attention": "squeeze-and-excitation over channels; on sequences, self-attention",
    "norm": "gated group normalisation; 2C+1 parameters",
    "depthwise": "3×3 depthwise and 1×1 convolution, norm, ReLU",
    "bottleneck": "1×1, 3×3, 1×1 convolutions through a narrow middle",
    "conv-small": "1×1 convolution, norm, ReLU",
    "conv-heavy": "two 3×3 convolutions, each with norm and ReLU",
}
SEQUENCE_SUMMARIES = {
    "lora": "a linear map of low rank",
    "lora-large": "a linear map of higher rank",
    "mlp-small": "two layers, twice as wide in the middle",
    "mlp": "two layers, four times as wide in the middle",
    "flex-attention": "self-attention that knows distances",
}
BLUEPRINT_CONFIGS = {
    "lora": "esper_growth.config:LoraConfig",
    "lora-large": "esper_growth.config:LoraLargeConfig",
    "attention": "esper_growth.config:AttentionConfig",
    "bottleneck": "esper_growth.config:BottleneckConfig",
}


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare the kinds that third parties extend the environment with."""
    for name, protocol, summary in (
        ("task", "Task", "data that hosts are trained on"),
        ("host", "Host", "a network with slots to grow in"),
        ("blueprint", "Blueprint", "a module that can be grown in a slot"),
    ):
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
    yield ComponentSpec(
        kind="task",
        name="digits",
        factory="esper_growth.tasks.digits:digits",
        config="esper_growth.config:DigitsConfig",
        summary="1,797 real 8×8 images of handwritten digits",
    )
    for name, summary in HOST_SUMMARIES.items():
        yield ComponentSpec(
            kind="host",
            name=name,
            factory=f"esper_growth.hosts.uniform:{name.capitalize()}Host",
            config=f"esper_growth.config:{name.capitalize()}Config",
            summary=summary,
        )
    yield ComponentSpec(
        kind="host",
        name="mixed",
        factory="esper_growth.hosts.mixed:MixedHost",
        config="esper_growth.config:MixedHostConfig",
        summary="pointwise, narrow or capable, drawn for every instance",
    )
    yield ComponentSpec(
        kind="host",
        name="transformer",
        factory="esper_growth.hosts.transformer:TransformerHost",
        config="esper_growth.config:TransformerConfig",
        summary="attention over the patches of a curve",
    )
    yield ComponentSpec(
        kind="task",
        name="mnist1d",
        factory="esper_growth.tasks.mnist1d:mnist1d",
        config="esper_growth.config:Mnist1dConfig",
        summary="digits as noisy curves of 40 points, generated",
    )
    yield ComponentSpec(
        kind="task",
        name="mixed",
        factory="esper_growth.tasks.mixed:MixedTask",
        config="esper_growth.config:MixedTaskConfig",
        summary="digits or mnist1d, plain or shuffled, of several sizes, drawn for every instance",
    )
    yield ComponentSpec(
        kind="task",
        name="cifar10",
        factory="esper_growth.tasks.cifar10:cifar10",
        config="esper_growth.config:Cifar10Config",
        example="esper_growth.tasks.cifar10:example",
        summary="60,000 colour images of 32×32 pixels, from files of yours",
    )
    yield ComponentSpec(
        kind="task",
        name="synthetic",
        factory="esper_growth.tasks.synthetic:synthetic",
        config="esper_growth.config:SyntheticConfig",
        summary="made-up 3×32×32 images, for measuring speed",
    )
    yield ComponentSpec(
        kind="host",
        name="conv",
        factory="esper_growth.hosts.conv:ConvHost",
        config="esper_growth.config:ConvConfig",
        summary="3×3 convolutions, 8-16-32 channels wide, each block pooled",
    )
    for module, summaries in (("image", IMAGE_SUMMARIES), ("sequence", SEQUENCE_SUMMARIES)):
        for name, summary in summaries.items():
            yield ComponentSpec(
                kind="blueprint",
                name=name,
                factory=f"esper_growth.blueprints.{module}:{name.replace('-', '_')}",
                config=BLUEPRINT_CONFIGS.get(name, ""),
                summary=summary,
            )
    growing = ("contribution",)
    for name, attribute, summary, reads in (
        ("static", "Static", "always WAIT: the host as it is", ()),
        ("random", "UniformLegal", "uniform over what is legal", ()),
        ("periodic", "Periodic", "another slot every 6 epochs, whatever happens", (*growing, "epoch")),
        ("all-on", "AllOn", "conv-light in every slot at once", growing),
        ("all-on-heavy", "AllOnHeavy", "conv-heavy in every slot at once", growing),
        ("plateau", "Plateau", "germinate when accuracy stalls, fossilize what contributes", PLATEAU_READS),
    ):
        yield ComponentSpec(
            kind="rule", name=name, factory=f"esper_growth.rules:{attribute}", summary=summary, reads=reads
        )
    for name, attribute, summary in (
        ("digits", "digits:digits", "16 hosts, 3 slots, real digits: training with everything around it"),
        ("conv-small", "conv_small:conv_small", "4 convolutional hosts on synthetic 32×32 images, random legal play"),
    ):
        yield ComponentSpec(kind="workload", name=name, factory=f"esper_growth.bench.{attribute}", summary=summary)
