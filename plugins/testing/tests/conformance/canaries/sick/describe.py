"""Schemas of the canaries among features, without torch."""

from attrs import evolve

from esper_core import StateSpec
from esper_testing.reference.describe import describe_features

__all__ = [
    "describe_features",
    "few_fields",
    "few_fields_of",
    "named_twice",
    "source_unknown",
    "three_blocks",
    "vocabulary_short",
]


def named_twice(config, slots, actions, state_spec):
    schema = describe_features(config, slots, actions, state_spec)
    return evolve(schema, base=[evolve(feature, name="same") for feature in schema.base])


def three_blocks(config, slots, actions, state_spec):
    return evolve(describe_features(config, slots, actions, state_spec), num_slots=3)


def source_unknown(config, slots, actions, state_spec):
    schema = describe_features(config, slots, actions, state_spec)
    return evolve(schema, base=[evolve(feature, source="wishes") for feature in schema.base])


def vocabulary_short(config, slots, actions, state_spec):
    schema = describe_features(config, slots, actions, state_spec)
    return evolve(schema, indices=[evolve(block, vocabulary=block.vocabulary - 1) for block in schema.indices])


def few_fields(config, slots, actions, state_spec):
    return describe_features(config, slots, actions, few_fields_of(state_spec))


def few_fields_of(state_spec):
    return StateSpec(field for field in state_spec.fields if field.name != "brightness")
