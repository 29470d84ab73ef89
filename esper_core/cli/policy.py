"""`esper policy`, and `esper registry`: what policies are made of, and the file that names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from esper_core.api import installed
from esper_core.cli import choices, completion
from esper_core.cli.installed import load_installed
from esper_core.cli.output import number, print_json, print_table, say
from esper_core.composition.config import config_class, describe_options
from esper_core.composition.lookup import find_planned
from esper_core.composition.plan import Plan, PlanDescription, PlanRequest, describe_plan, make_plan, owners_of
from esper_core.contracts.actions import AnyHead, Head
from esper_core.contracts.errors import RegistryFileError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.plain import from_exact, to_exact
from esper_core.diagnosis.check import check_recipes
from esper_core.registry.index import Index


def list_policies(context: typer.Context, as_json: choices.AsJson = False) -> None:
    """List recipes and networks that `--policy` accepts."""
    index, recipes = load_installed(context)
    rows = installed.list_policies(index, recipes)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(("policy", "source", "summary"), [(r["policy"], r["source"], r["summary"]) for r in rows])
    else:
        say("No policies are installed. See: esper plugins list")


def show_policy(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Recipe or network.", autocompletion=completion.policies)],
    slots: choices.OneSlots = None,
    kinds: choices.Kinds = None,
    uses: choices.Uses = None,
    options: choices.Options = None,
    as_json: choices.AsJson = False,
) -> None:
    """Show sizes, components and every option of a policy; network and critic are built to count numbers."""
    index, recipes = load_installed(context)
    request = PlanRequest(policy=name, slots=slots, uses=choices.parse_uses(uses, kinds), options=options or ())
    plan = make_plan(request, index, recipes)
    document = _document(plan, index)
    if as_json:
        print_json(document)
    else:
        _print_policy(document, plan)


def check_registry(context: typer.Context, as_json: choices.AsJson = False) -> None:
    """Check the registry file: its keys, its names, and that every policy makes a plan."""
    index, recipes = load_installed(context)
    if errors := check_recipes(recipes, index):
        first, *others = errors
        shown = [f"{error.message} {error.hint}".rstrip() for error in others]
        raise RegistryFileError(first.message, hint="\n".join(filter(None, (first.hint, *shown))))
    policies = sorted(recipes.policies)
    if as_json:
        print_json({"file": str(recipes.path) if recipes.path else None, "policies": policies, "errors": []})
    elif recipes.path is None:
        say("There is no registry.toml here or above; esper works without one.")
    else:
        say(f"{recipes.path} is fine: {len(policies)} policies ({', '.join(policies) or 'none'}).")


def _document(plan: Plan, index: Index) -> dict[str, Any]:
    """Return what a policy is made of as JSON-able values; imports torch."""
    from esper_core.composition.build import build_parts

    known, written = describe_plan(plan, index), plan.to_json()
    parts = build_parts(plan, index, only={"network", "critic"})
    counts = {kind: sum(p.numel() for p in part.parameters()) for kind, part in parts.items()}
    outputs = _outputs(parts["network"], known, owners_of(plan, index)["network"])
    shown = ("kind", "name", "distribution", "version", "config")
    return {
        "policy": plan.policy,
        "slots": list(plan.slots) if known.actions.slot is not None else [],
        "parameters": sum(counts.values()),
        "parameters_by_part": counts,
        "observation_dim": known.feature_schema.dim,
        "categories": sum(block.width for block in known.feature_schema.indices),
        "arrays": {entry.name: [entry.dtype, *entry.shape] for entry in known.feature_schema.arrays},
        "network_input_dim": parts["network"].input_dim,
        "latent_dim": parts["network"].latent_dim,
        "horizon": known.horizon,
        "heads": {head.name: _head(head, outputs[head.name]) for head in known.actions.heads},
        "components": [{key: component[key] for key in shown} for component in written["components"]],
        "train": written["train"],
        "options": dict(_options(plan, index)),
    }


def _print_policy(document: dict[str, Any], plan: Plan) -> None:
    parts = ", ".join(f"{kind} {count:,}" for kind, count in document["parameters_by_part"].items())
    slots = f" with {len(plan.slots)} slots: {', '.join(plan.slots)}" if document["slots"] else ""
    say(f"{plan.policy}{slots}")
    say(f"  parameters     {document['parameters']:,} ({parts})")
    for place, words in enumerate(_seen_words(document)):
        say(f"  {'' if place else 'observation':15}{words}")
    say(f"  network input  {document['network_input_dim']} numbers")
    for place, (name, head) in enumerate(document["heads"].items()):
        say(f"  {'' if place else 'heads':15}{name}: {_head_words(head)}")
    say(f"  episode        {document['horizon']} steps")
    say("", "components")
    rows = [(f"  {c.kind}", c.name, f"{c.distribution} {c.version}") for c in plan.components]
    print_table(("  kind", "name", "from"), rows)
    say("", "options, each set with -o KIND.KEY=VALUE")
    rows = []
    for name, option in document["options"].items():
        changed = f" (default {_shown(option['default'])})" if option["value"] != option["default"] else ""
        rows.append((f"  {name}", f"{_shown(option['value'])}{changed}", option["help"]))
    print_table(("  option", "value", "meaning"), rows)


def _outputs(network: Any, known: PlanDescription, owner: Owner) -> dict[str, int]:
    """Return how many numbers a network gives for each head: of slots there may be a row for each operation."""
    import torch

    from esper_core.contracts.protocols import Features
    from esper_core.policy.boundary import check_output

    schema, like = known.feature_schema, next(iter(network.parameters()), torch.zeros(()))
    seen = Features(
        like.new_zeros(1, 1, schema.dim),
        {block.name: like.new_zeros(1, 1, block.width, dtype=torch.int64) for block in schema.indices},
        {
            entry.name: like.new_zeros(1, 1, *entry.shape, dtype=torch.uint8 if entry.dtype == "uint8" else None)
            for entry in schema.arrays
        },
    )
    with owner.doing("computing"), torch.no_grad():
        state = network.initial_state(1)
        output = network(seen, state, like.new_ones(1, 1, dtype=torch.bool))
    check_output(owner, output, known.actions, network.latent_dim, (1, 1), state, like.device)
    return {name: value.numel() for name, value in output.logits.items()}


def _head(head: AnyHead, outputs: int) -> dict[str, Any]:
    """Return what is chosen in a head, and how many numbers a network gives for it, as JSON-able values."""
    known: dict[str, Any] = {"outputs": outputs, "ops": None if head.ops is None else list(head.ops)}
    if isinstance(head, Head):
        return {"labels": list(head.labels), **known}
    bounds = [to_exact(list(side)) for side in (head.low, head.high)]
    return {"numbers": list(head.dims), "low": bounds[0], "high": bounds[1], "squash": head.squash, **known}


def _head_words(head: Mapping[str, Any]) -> str:
    """Return a line about a head: its labels, or its numbers with their bounds."""
    given = f" (matters to {', '.join(head['ops'])})" if head["ops"] is not None else ""
    if "labels" in head:
        each = ", logits for each operation" if head["outputs"] > len(head["labels"]) else ""
        return f"{len(head['labels'])} choices, {_few(head['labels'])}{each}{given}"
    sides = (map(_shown, from_exact(head[side])) for side in ("low", "high"))
    ranges = [f"{name} {low}..{high}" for name, low, high in zip(head["numbers"], *sides, strict=True)]
    how = "squashed" if head["squash"] else "cut off at the bounds"
    return f"{len(ranges)} number{'s' * (len(ranges) > 1)}, {_few(ranges)}, {how}{given}"


def _seen_words(document: Mapping[str, Any]) -> list[str]:
    """Return what a network sees, a line for each sort: numbers, categories that it embeds, arrays."""
    counts = {"numbers": document["observation_dim"], "categories": document["categories"]}
    arrays = [f"{name}, {dtype} {shape}" for name, (dtype, *shape) in document["arrays"].items()]
    return [f"{count} {noun}" for noun, count in counts.items() if count] + arrays or ["nothing"]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f", … {names[-1]}" if len(names) > 8 else "")


def _options(plan: Plan, index: Index) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the state of every option."""
    from esper_core.learning.config import TrainConfig

    def of(prefix: str, options: type, chosen: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
        for row in describe_options(options):
            values = {"value": to_exact(chosen[row.key]), "default": to_exact(row.default)}
            yield f"{prefix}.{row.key}", {**values, "help": row.help, "allowed": row.allowed}

    for planned in plan.components:
        prefix = f"{planned.kind}.{planned.name}" if len(plan.of_kind(planned.kind)) > 1 else planned.kind
        yield from of(prefix, config_class(find_planned(index, planned)), planned.config)
    yield from of("train", TrainConfig, plan.train)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        text = f"[{', '.join(map(str, value))}]"
        return text if len(text) <= 42 else f"[{len(value)} entries]"
    return number(value) if isinstance(value, float | bool) else str(value)
