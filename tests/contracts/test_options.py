"""Options of config classes: default, help, bounds, choices."""

from __future__ import annotations

import pytest
from attrs import fields, frozen

from esper_core import option


@frozen
class Config:
    name: str = option(help="No default.")
    width: int = option(8, low=1, high=64, help="Wider sees more.")
    mode: str = option("mean", choices=("mean", "max"), help="How to pool.")
    path: tuple[str, ...] = option((), converter=tuple, choices=((), ("a",)), help="Where to look.")
    limit: float | None = option(None, low=0.0, help="None is no limit.")


def test_defaults_and_metadata_live_on_the_class() -> None:
    config = Config(name="x")
    assert (config.width, config.mode, config.path) == (8, "mean", ())
    by_name = {f.name: f for f in fields(Config)}
    assert by_name["width"].metadata["help"] == "Wider sees more."
    assert by_name["mode"].metadata["choices"] == ("mean", "max")
    assert by_name["width"].metadata["choices"] is None


def test_bounds_are_inclusive_and_do_not_concern_none() -> None:
    assert [Config(name="x", width=width).width for width in (1, 64)] == [1, 64]
    assert Config(name="x").limit is None
    assert Config(name="x", path=["a"]).path == ("a",), "converters run first"  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [{"width": 0}, {"width": 65}, {"mode": "sum"}, {"limit": -1.0}])
def test_values_outside_are_refused(values: dict[str, object]) -> None:
    (key,) = values
    with pytest.raises(ValueError, match=key):
        Config(name="x", **values)  # type: ignore[arg-type]
