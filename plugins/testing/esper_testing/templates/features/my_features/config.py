"""Options of the features. Commands list and check them, so this module imports no torch either."""

from __future__ import annotations

from attrs import frozen

from esper_core import option


@frozen
class MyFeaturesConfig:
    """Options of `my-features`; set one with `-o features.trend_scale=5`."""

    trend_scale: float = option(10.0, low=0.1, help="Factor on changes of accuracy, which are small; larger saturates.")
