"""Kinds, components and commands of the core."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import CommandSpec, ComponentSpec, KindSpec, hookimpl


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare the kinds that every plan is made of, and the kind `observer`."""
    for name, protocol, summary in (
        ("environment", "Environment", "E environments side by side, with tensors for states and actions"),
        ("features", "FeatureExtractor", "state → observation for the network"),
        ("network", "PolicyNetwork", "features and recurrent state → latent and logits per head"),
        ("critic", "Critic", "latent and operation → values"),
        ("masks", "MaskProvider", "state → legal actions"),
        ("loss", "Loss", "stored rollout and fresh evaluation → scalar to minimise"),
        ("observer", "Observer", "watches a run and writes down what it sees"),
    ):
        yield KindSpec(
            name=name,
            protocol=f"esper_core.contracts.protocols:{protocol}",
            conformance=f"esper_testing.conformance.{name}:SUITE",
            template=f"esper_testing.templates:{name}",
            summary=summary,
            planned=name != "observer",
        )


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the features `flat` and the observer `tensorboard`."""
    yield ComponentSpec(
        kind="features",
        name="flat",
        factory="esper_core.builtin.flat:Flat",
        config="esper_core.builtin.config:FlatConfig",
        describe="esper_core.builtin.describe:describe",
        summary="every state field, scaled to 0..1, in the order it is published",
    )
    yield ComponentSpec(
        kind="observer",
        name="tensorboard",
        factory="esper_core.builtin.tensorboard:TensorBoard",
        config="esper_core.builtin.config:TensorBoardConfig",
        summary="every metric as a curve, for TensorBoard",
    )


@hookimpl
def esper_commands() -> Iterator[CommandSpec]:
    """Register the commands of the core."""
    for name, app, summary in (
        ("train", "train:train", "Train a policy."),
        ("policy", "", "See which policies there are and what they are made of."),
        ("policy list", "policy:list_policies", "List recipes and networks that `--policy` accepts."),
        ("policy show", "policy:show_policy", "Show sizes, components and every option of a policy."),
        ("runs", "", "Look at earlier runs."),
        ("runs list", "runs:list_all", "List the runs in a directory, oldest first."),
        ("runs show", "runs:show", "Show a run: its plan, its metrics and its checkpoints."),
        ("plugins", "", "See which plugins are installed, check them, and write new ones."),
        ("plugins list", "plugins:list_plugins", "List installed plugins, also those that failed to load, and why."),
        ("plugins show", "plugins:show_plugin", "Show where a plugin comes from and what it brings."),
        ("plugins why", "plugins:why", "Explain what a name means, where it comes from, and what would change that."),
        ("plugins doctor", "plugins:doctor", "Examine the installation, and say what to do."),
        ("registry", "", "Work with registry.toml."),
        (
            "registry check",
            "policy:check_registry",
            "Check the registry file: its keys, its names, and every policy in it.",
        ),
        ("cache", "", "Show and clear what is kept so that it is not computed again."),
        ("cache show", "cache:show", "Show where the cache lies and how much each part holds."),
        ("cache clear", "cache:clear", "Delete what is kept; it is made again when it is needed."),
    ):
        yield CommandSpec(name=name, app=f"esper_core.cli.{app}" if app else "", summary=summary)
