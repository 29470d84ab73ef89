"""Kinds and components of the core."""

from __future__ import annotations

from collections.abc import Iterator

from esper_core import ComponentSpec, KindSpec, hookimpl

_PROTOCOLS = "esper_core.contracts.protocols"


@hookimpl
def esper_kinds() -> Iterator[KindSpec]:
    """Declare the kinds that every training plan is made of, and those that are used beside one."""
    for name, protocol, summary in (
        ("features", "FeatureExtractor", "state → what a network sees"),
        ("network", "PolicyNetwork", "features and recurrent state → latent and logits per head"),
        ("critic", "Critic", "latent and operation → values"),
        ("masks", "MaskProvider", "state → legal actions"),
        ("loss", "Loss", "stored rollout and fresh evaluation → scalar to minimise"),
        ("environment", "Environment", "E environments that speak tensors"),
    ):
        yield _kind(name, protocol, summary)
    for name, protocol, summary in (
        ("spike", "Spike", "answers a question about a plan with a verdict"),
        ("rule", "Rule", "a policy without parameters"),
        ("observer", "Observer", "watches a run and writes down what it sees"),
        ("workload", "Workload", "what `esper bench` measures speed on"),
    ):
        yield _kind(name, protocol, summary, planned=False)


def _kind(name: str, protocol: str, summary: str, *, planned: bool = True) -> KindSpec:
    return KindSpec(
        name=name,
        protocol=f"{_PROTOCOLS}:{protocol}",
        conformance=f"esper_core.testing.conformance.{name}:SUITE",
        template=f"esper_core.templates:{name}",
        summary=summary,
        planned=planned,
    )


@hookimpl
def esper_components() -> Iterator[ComponentSpec]:
    """Register the plain feature extractor and the observer that needs no plugin."""
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
