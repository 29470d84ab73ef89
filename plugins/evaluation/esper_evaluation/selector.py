"""The selector: a shallow tree that chooses a rule by what an instance is of, fitted on training instances.

It is what a policy has to be better than to have learned more than which rule suits which kind of instance. No torch is
imported: who merges shards fits it too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from esper_core.system.content import digest
from esper_evaluation.records import Drawing, Entry

if TYPE_CHECKING:
    from esper_evaluation.statistics import Values

DEPTH = 3
LEAF = 5
"""Training instances of a leaf, at least."""


@frozen
class Leaf:
    """A rule, and on how many training instances it was the best."""

    rule: str
    instances: int


@frozen
class Fork:
    """Where the tree parts: instances of which a field is at most so much, and the others."""

    field: str
    at_most: float
    then: Node
    otherwise: Node


Node = Leaf | Fork


@frozen
class Selector:
    """A fitted tree.

    Attributes:
        fields: Fields of the state by which it chooses.
        rules: What it chooses from.
        instances: Training episodes that each rule played for it; an instance that was drawn twice counts twice.
        tree: Its root.
    """

    fields: tuple[str, ...]
    rules: tuple[str, ...]
    instances: int
    tree: Node

    @classmethod
    def fit(cls, fields: Sequence[str], world: Values, rules: Mapping[str, Values]) -> Selector:
        """Fit a tree that foretells how far each rule is above or below the mean of all.

        What is hard or easy for all rules alike thus makes no fork (a multivariate regression tree, De'ath, *Ecology*
        2002, of differences). A leaf has the rule of the highest mean, the first of equals, and forks that lead to one
        rule are taken back. Where nothing is told apart, it is the rule that is best on all.

        Args:
            fields: Names of the F fields.
            world: What the n training instances are of, `[n, F]`.
            rules: Rule → what it achieved on each, `[n]`; more is better.
        """
        import numpy as np
        from sklearn.tree import DecisionTreeRegressor

        names, achieved = tuple(rules), np.stack([*rules.values()], axis=1)
        tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=LEAF, random_state=0)
        grown = tree.fit(world, achieved - achieved.mean(axis=1, keepdims=True)).tree_

        def node(number: int) -> Node:
            if grown.children_left[number] < 0:
                best = int(grown.value[number].reshape(len(names)).argmax())
                return Leaf(names[best], int(grown.n_node_samples[number]))
            then, otherwise = node(grown.children_left[number]), node(grown.children_right[number])
            if isinstance(then, Leaf) and isinstance(otherwise, Leaf) and then.rule == otherwise.rule:
                return Leaf(then.rule, then.instances + otherwise.instances)
            return Fork(fields[grown.feature[number]], float(grown.threshold[number]), then, otherwise)

        return cls(tuple(fields), names, len(world), node(0))

    @classmethod
    def of(cls, fields: Sequence[str], drawings: Mapping[Drawing, Entry], outcome: str, sign: float) -> Selector:
        """Fit a tree to what rules have achieved on training instances; they have played the same ones.

        Args:
            fields: Names of the fields.
            drawings: Batches of training instances that rules have played.
            outcome: The outcome that counts.
            sign: 1, or −1 where less of it is better.
        """
        import numpy as np

        rules = {which.arm: np.empty(0) for which in drawings}
        lines = {rule: [line for which, line in drawings.items() if which.arm == rule] for rule in rules}
        for rule, own in lines.items():
            rules[rule] = sign * np.array([value for line in own for value in line["outcomes"][outcome]])
        world = np.array([row for line in next(iter(lines.values())) for row in line["world"]])
        return cls.fit(fields, world, rules)

    def choose(self, world: Sequence[float]) -> str:
        """Return the rule for an instance of which the fields are these."""
        node = self.tree
        while isinstance(node, Fork):
            node = node.then if world[self.fields.index(node.field)] <= node.at_most else node.otherwise
        return node.rule

    def to_json(self) -> dict[str, Any]:
        """Return what it is, JSON-able."""
        return {"fields": [*self.fields], "rules": [*self.rules], "instances": self.instances, "tree": _tree(self.tree)}

    def leaves(self) -> Iterator[str]:
        """Yield a line for every leaf: which instances get which rule."""
        yield from _leaves(self.tree, [])


def version_of(rules: Mapping[str, str], drawn: Sequence[Drawing]) -> str:
    """Return what the episodes of a selector depend on: its rules and what they are made of, and how many it has seen.

    Args:
        rules: Rule → what it is made of.
        drawn: Batches of training instances that all rules play.
    """
    batches = [which for which in drawn if which.arm == next(iter(rules), None)]
    seen = sum(which.envs for which in batches)
    return f"{seen} instances {digest({'rules': rules, 'batches': len(batches)})}"


def _tree(node: Node) -> dict[str, Any]:
    if isinstance(node, Leaf):
        return {"rule": node.rule, "instances": node.instances}
    then, otherwise = _tree(node.then), _tree(node.otherwise)
    return {"field": node.field, "at_most": node.at_most, "then": then, "otherwise": otherwise}


def _leaves(node: Node, conditions: list[str]) -> Iterator[str]:
    if isinstance(node, Fork):
        yield from _leaves(node.then, [*conditions, f"{node.field} ≤ {node.at_most:,.6g}"])
        yield from _leaves(node.otherwise, [*conditions, f"{node.field} > {node.at_most:,.6g}"])
    else:
        yield f"{', '.join(conditions) or 'always'}: {node.rule} ({node.instances})"
