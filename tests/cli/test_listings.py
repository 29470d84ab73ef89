"""Listing commands: what they say, for people and machines, with torch out of reach."""

import json

import pytest

POLICIES = [
    ("lstm-v2", "5", 3_596_900, 181, 201),
    ("lstm-v2", "3", 3_561_570, 121, 133),
    ("lstm-v1", "3", 226_850, 121, 133),
    ("lstm-v1", "5", 235_684, 181, 201),
]
OURS = {"core", "factored-ppo", "growth", "lstm-v2", "obs-v3", "op-conditioned-critic", "spike-dynamic-slots"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("-h",),
        ("--version",),
        ("-v",),
        ("train", "--help"),
        ("bench", "--help"),
        ("report", "--help"),
        ("export", "--help"),
        ("plugins", "list"),
        ("plugins", "list", "--json"),
        ("plugins", "list", "--kind", "workload"),
        ("plugins", "show", "growth"),
        ("plugins", "why", "network/lstm-v2"),
        ("plugins", "why", "network/lstm-v2", "--json"),
        ("plugins", "doctor"),
        ("plugins", "doctor", "--json"),
        ("matrix", "--help"),
        ("policy", "list"),
        ("registry", "check"),
        ("runs", "list"),
        ("spike", "list"),
        ("cache", "show"),
        ("train", "--policy", "lstm-v2", "--slots", "5", "--dry-run"),
        ("train", "--policy", "lstm-v2", "--slots", "5", "--dry-run", "--json"),
    ],
)
def test_works_with_torch_out_of_reach(esper, without_torch, arguments):
    done = esper(*arguments, path=without_torch)
    assert done.returncode == 0, done.stderr
    assert done.stdout and done.stderr == ""


def test_nothing_is_loaded_for_help(esper, install):
    site = install("acme-slow", "raise SystemError('a plugin was imported for --help')\n")
    for arguments in (("--help",), ("--version",), ("train", "--help"), ("policy", "--help")):
        assert esper(*arguments, path=site).returncode == 0


def test_version(esper):
    from importlib.metadata import version

    assert esper("--version").stdout == f"esper {version('esper-core')}\n"


def test_help_names_every_command_and_the_global_flags(esper):
    text = esper("--help").stdout
    for word in (
        "train",
        "bench",
        "matrix",
        "policy",
        "plugins",
        "registry",
        "runs",
        "report",
        "export",
        "spike",
        "--registry",
        "--no-plugin",
        "--debug",
    ):
        assert word in text


@pytest.mark.parametrize(("policy", "slots", "parameters", "observation", "inputs"), POLICIES)
def test_policy_show_counts(esper, policy, slots, parameters, observation, inputs):
    done = esper("policy", "show", policy, "--slots", slots, "--json", *_recipes())
    shown = json.loads(done.stdout)
    assert (shown["parameters"], shown["observation_dim"], shown["network_input_dim"]) == (
        parameters,
        observation,
        inputs,
    )
    assert shown["heads"] == {
        "op": 6,
        "slot": int(slots),
        "blueprint": 13,
        "style": 4,
        "tempo": 3,
        "alpha_target": 3,
        "alpha_speed": 4,
        "alpha_curve": 5,
    }
    assert {c["kind"] for c in shown["components"]} >= {"features", "network", "critic", "masks", "loss", "environment"}


def _recipes() -> tuple[str, ...]:
    from pathlib import Path

    return ("--registry", str(Path(__file__).parents[2] / "registry.toml"))


def test_policy_show_lists_every_option_with_its_meaning(esper):
    text = esper("policy", "show", "lstm-v2").stdout
    for option in (
        "network.hidden_dim",
        "train.lr",
        "loss.clip",
        "environment.epochs",
        "blueprint.attention.reduction",
    ):
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [option]]
        assert len(line.split()) > 4, "an option has a value and a meaning"


def test_plugins_list_for_machines(esper):
    records = json.loads(esper("plugins", "list", "--json").stdout)
    keys = {"plugin", "distribution", "version", "status", "components", "commands", "import_ms", "error"}
    keys |= {"copies_not_used"}
    assert all(set(record) == keys for record in records)
    assert {record["plugin"] for record in records if record["status"] == "ok"} >= OURS


def test_components_of_one_kind(esper):
    rows = {row["name"]: row for row in json.loads(esper("plugins", "list", "--kind", "workload", "--json").stdout)}
    assert set(rows) >= {"digits", "conv-small"} and rows["digits"]["distribution"] == "esper-growth"
    text = esper("plugins", "list", "--kind", "workload").stdout
    assert text.startswith("workload") and all(row["summary"] in text for row in rows.values())
    done = esper("plugins", "list", "--kind", "workloda")
    assert done.returncode == 2 and "Did you mean 'workload'?" in done.stderr


def test_plugins_show(esper):
    shown = json.loads(esper("plugins", "show", "esper-growth", "--json").stdout)
    assert shown["plugin"] == "growth" and shown["kinds"] == ["task", "host", "blueprint"]
    assert "environment/growth" in shown["components"]
    done = esper("plugins", "show", "growht")
    assert done.returncode == 2 and "Did you mean 'growth'?" in done.stderr


def test_policy_list_names_recipes_and_networks(esper, tmp_path):
    (tmp_path / "registry.toml").write_text('schema = 1\n[policy.mine]\nnetwork = "lstm-v1"\n')
    rows = {row["policy"]: row for row in json.loads(esper("policy", "list", "--json").stdout)}
    assert rows["mine"]["source"] == "recipe" and rows["mine"]["network"] == "lstm-v1"
    assert rows["lstm-v2"]["source"] == "network"


def test_what_is_piped_has_no_boxes(esper):
    for arguments in (("--help",), ("plugins", "list"), ("policy", "show", "lstm-v2")):
        assert not set(esper(*arguments).stdout) & set("╭│╰┏┃─\x1b")


def test_spike_list(esper):
    assert [row["name"] for row in json.loads(esper("spike", "list", "--json").stdout)] == [
        "dynamic-slots",
        "ppo-probes",
    ]


def test_registry_check(esper, tmp_path):
    assert "esper works without one" in esper("registry", "check").stdout
    (tmp_path / "registry.toml").write_text('schema = 1\n\n[policy.mine]\nnetwork = "lstm-v3"\n')
    done = esper("registry", "check")
    assert done.returncode == 2 and done.stdout == ""
    assert "registry.toml:4:" in done.stderr and "Did you mean 'lstm-v2'?" in done.stderr


@pytest.mark.parametrize("where", ["before", "after"])
def test_global_flags_work_before_and_after_the_command(esper, tmp_path, where):
    (tmp_path / "other.toml").write_text('schema = 1\n[plugins]\ndisabled = ["obs-v3"]\n')
    flags = ("--registry", "other.toml", "--no-plugin=lstm-v2")
    command = ("plugins", "list", "--json")
    done = esper(*flags, *command) if where == "before" else esper(*command, *flags)
    off = {record["plugin"] for record in json.loads(done.stdout) if record["status"] == "disabled"}
    assert off == {"obs-v3", "lstm-v2"}


def test_an_allow_list_loads_nothing_else(esper):
    records = json.loads(esper("plugins", "list", "--json", ESPER_PLUGINS="growth").stdout)
    assert {r["plugin"] for r in records if r["status"] == "ok"} == {"core", "growth"}
