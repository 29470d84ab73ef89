import subprocess
import sys

import numpy as np
import pytest

from esper_echelon.heat_maps.spatial import MatchMaps, SpatialAccumulator


@pytest.mark.parametrize(
    ("x", "y", "cell"), [(50, 50, (8, 8)), (25, 75, (12, 4)), (100, -10, (0, 15)), (0, 100, (15, 0))]
)
def test_a_position_is_in_the_cell_of_its_row_and_column(x, y, cell):
    maps = SpatialAccumulator(16)
    maps.record_death(x, y, 100)
    maps.record_damage(x, y, 2.5, 100)
    maps.record_position([x, x], [y, y], [100, 100])
    for name, value in (("death_locations", 1), ("damage_locations", 2.5), ("movement_density", 2)):
        found = maps.to_arrays()[name]
        assert found.dtype == np.float32 and found[cell] == value and found.sum() == value
    maps.reset()
    assert not any(values.any() for values in maps.to_arrays().values())


def test_matches_are_told_of_by_events_and_go_on_after_a_resume():
    """Positions are from the centre here; each match has its own size, and what is no number counts for nothing."""
    before, size = MatchMaps(2), np.array([40, 100])
    before.record_positions(
        np.array([[[-20.0, 0], [19, 19]], [[50, 50], [np.nan, 0]]]), np.array([[1, 0], [1, 1]]) > 0, size
    )
    before.record_damage([0, 0, 1], [0.0, 0, 0], [-20.0, -20, 0], [14.0, 0.1, 3], size)
    before.record_deaths([1], [-50.0], [50.0], size)
    maps = MatchMaps(2)
    maps.load_state(before.state())
    first, second = maps.to_event(0), maps.to_event(1)
    assert first["type"] == "spatial" and first["movement"] == [[16, 0, 1]] and first["deaths"] == []
    assert (
        second["movement"] == [[31, 31, 1]] and second["damage"] == [[16, 16, 3]] and second["deaths"] == [[31, 0, 1]]
    )
    ((*cell, dealt),) = first["damage"]
    assert cell == [0, 16] and dealt == pytest.approx(14.1)
    total = SpatialAccumulator()
    for event in (first, second, second):
        total.record_event(event)
    assert total.death_locations[31, 0] == 2 and total.damage_locations.sum() == pytest.approx(20.1)
    maps.reset(1)
    assert maps.to_event(1) == {"type": "spatial", "deaths": [], "damage": [], "movement": []} != maps.to_event(0)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="grid_size must be at least 1, not 0"):
        SpatialAccumulator(0)
    with pytest.raises(ValueError, match="world_size must be above 0, not 0"):
        SpatialAccumulator().record_death(1, 1, 0)
    with pytest.raises(ValueError, match="outside a grid of 8"):
        SpatialAccumulator(8).record_event({"deaths": [[8, 0, 1]], "damage": [], "movement": []})


def test_it_works_without_wandb_and_matplotlib():
    code = """if True:
        import sys
        sys.modules["wandb"] = sys.modules["matplotlib"] = None
        from esper_echelon.heat_maps.spatial import SpatialAccumulator
        maps = SpatialAccumulator()
        maps.record_death(1, 1, 10)
        assert maps.to_images() == {}
        assert sys.modules["wandb"] is None and "torch" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "wandb is missing" in done.stderr, done.stderr
