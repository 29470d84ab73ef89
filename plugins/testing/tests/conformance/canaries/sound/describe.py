"""The schema of the features, without torch."""

from esper_core import Feature, FeatureSchema


def describe(config, slots, actions, state_spec):
    return FeatureSchema((Feature("share", "lit / N", 0, 1, "lit"), Feature("any", "any is lit", 0, 1, "lit")))
