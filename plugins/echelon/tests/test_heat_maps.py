import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from esper_echelon.heat_maps.config import HeatMapsConfig
from esper_echelon.heat_maps.observer import HeatMaps


def events(update):
    """One match that ended in each update, and something else."""
    told = {
        "type": "spatial",
        "env": 0,
        "step": 1,
        "deaths": [[3, update, 1]],
        "damage": [[3, update, 2.5]],
        "movement": [],
    }
    return [told, {"type": "episode", "env": 0, "step": 1}]


class Run:
    def __init__(self, path, done=0):
        self.path, self.done = path, done

    def metrics(self):
        return [{"update": update} for update in range(1, self.done + 1)]

    def events(self):
        return [{"update": update, **event} for update in range(1, self.done + 1) for event in events(update)]


def watch(path, updates, done=0):
    observer = HeatMaps(HeatMapsConfig(every=4), None)
    observer.on_start(Run(path, done))
    for update in range(done + 1, updates + 1):
        observer.on_update(SimpleNamespace(index=update, events=events(update)))
    observer.on_finish(Run(path))
    return path


def files(path):
    return {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}


def test_maps_of_every_few_updates_are_written_as_arrays_and_pictures(tmp_path):
    found = files(watch(tmp_path, 6))
    pictures = {f"pictures/heat-map-{name}.png" for name in ("death", "damage", "movement")}
    assert set(found) == {"heat-maps/000001.npz", "heat-maps/000005.npz"} | pictures
    with np.load(found["heat-maps/000005.npz"]) as arrays:
        deaths = arrays["death_locations"]
        assert deaths.shape == (32, 32) and deaths[3, 5] == deaths[3, 6] == 1 and deaths.sum() == 2
        assert arrays["damage_locations"].sum() == 5 and (arrays["matches"], *arrays["updates"]) == (2, 5, 6)
    assert found["pictures/heat-map-damage.png"].read_bytes().startswith(b"\x89PNG")


def test_a_resumed_run_writes_the_same(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir(), cut.mkdir()
    watch(whole, 7), watch(cut, 6), watch(cut, 7, done=6)
    one, two = files(whole), files(cut)
    assert one.keys() == two.keys()
    for name in one:
        if name.endswith(".npz"):
            with np.load(one[name]) as here, np.load(two[name]) as there:
                assert all((here[key] == there[key]).all() for key in here.files)
        else:
            assert one[name].read_bytes() == two[name].read_bytes()


def test_a_run_that_is_cut_back_keeps_no_maps_of_later_updates(tmp_path):
    watch(tmp_path, 10)
    assert "heat-maps/000009.npz" in files(tmp_path)
    watch(tmp_path, 5, done=4)
    assert {name for name in files(tmp_path) if name.endswith("npz")} == {
        "heat-maps/000001.npz",
        "heat-maps/000005.npz",
    }


def test_without_matplotlib_there_are_arrays(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert set(files(watch(tmp_path, 1))) == {"heat-maps/000001.npz"}
    assert "without pictures: matplotlib is not installed" in caplog.text


def test_an_open_run_of_wandb_is_shown_them(tmp_path, monkeypatch):
    logged = []
    fake = SimpleNamespace(
        run=object(), Image=lambda array: array.shape, log=lambda row, step: logged.append((row, step))
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    watch(tmp_path, 4)
    size = (600, 600, 3)
    assert logged == [({"heat-maps/death_locations": size, "heat-maps/damage_locations": size}, 4)]


def test_a_run_of_other_matches_leaves_nothing(tmp_path):
    observer = HeatMaps(None, None)
    observer.on_start(Run(tmp_path))
    observer.on_update(SimpleNamespace(index=50, events=[{"type": "episode", "env": 0, "step": 1}]))
    observer.on_finish(Run(tmp_path))
    assert not files(tmp_path)


@pytest.mark.parametrize("event", [{"type": "spatial", "deaths": [[99, 0, 1]], "damage": [], "movement": []}])
def test_cells_of_another_grid_are_refused(tmp_path, event):
    observer = HeatMaps(None, None)
    observer.on_start(Run(tmp_path))
    with pytest.raises(ValueError, match="outside a grid of 32"):
        observer.on_update(SimpleNamespace(index=1, events=[event]))


@pytest.mark.slow
def test_training_goes_on_without_wandb_and_matplotlib(tmp_path):
    """A run of real matches: the environment tells of them, and their arrays are written."""
    code = """if True:
        import sys
        sys.modules["wandb"] = sys.modules["matplotlib"] = None
        from esper_core.cli.app import run
        sys.exit(run(sys.argv[1:]))
    """
    words = "train --policy combat-suite --envs 1 --updates 3 --no-tensorboard --observe heat-maps"
    done = subprocess.run([sys.executable, "-c", code, *words.split(), "--out", str(tmp_path)], capture_output=True)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.iterdir()
    assert {name for name in files(run) if name.startswith(("heat-maps", "pictures"))} == {"heat-maps/000001.npz"}
    with np.load(run / "heat-maps" / "000001.npz") as arrays:
        assert arrays["matches"] > 0 and arrays["damage_locations"].sum() > 0 and arrays["movement_density"].sum() > 500
