"""What goes wrong is one clear message on standard error, an exit status, and an empty standard output."""

import json

import pytest


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("train", "--policy", "lstm-v3"), 2, "Did you mean 'lstm-v2'?"),
        (("train", "--policy", "lstm-v2", "--slots", "0"), 2, "A host needs at least one slot, not 0."),
        (("train", "--policy", "lstm-v2", "--slots", "1,2,3"), 2, "with: esper spike run or esper matrix"),
        (("policy", "show", "lstm-v2", "--slots", "1,2,3"), 2, "with: esper spike run or esper matrix"),
        (("train", "--policy", "lstm-v2", "--slots", "r0c9,r0c0"), 2, "Use --slots r0c0,r0c9."),
        (("train", "--policy", "lstm-v2", "--slots", "mid"), 2, "'mid' is now called 'r0c1'"),
        (("train", "--policy", "lstm-v2", "-o", "network.hiden_dim=64"), 2, "Did you mean 'hidden_dim'?"),
        (("train", "--policy", "lstm-v2", "-o", "netwrk.hidden_dim=64"), 2, "Did you mean 'network'?"),
        (("train", "--policy", "lstm-v2", "-o", "network.hidden_dim=wide"), 2, "network.hidden_dim"),
        (("train", "--policy", "lstm-v2", "-o", "train.lr=-1"), 2, "train.lr"),
        (("train", "--policy", "lstm-v2", "-o", f"environment.batch_size={'9' * 20}"), 2, "'environment.batch_size'"),
        (("train", "--policy", "lstm-v2", "-o", "environment.operation_cost=1e308"), 2, "'environment.operation_cost'"),
        (
            ("train", "--policy", "lstm-v2", "-o", f"train.update_epochs={'9' * 20}"),
            2,
            "'train.update_epochs' cannot be",
        ),
        (("train", "--policy", "lstm-v2", "--epochs", "9" * 15), 2, "'environment.epochs' cannot be"),
        (("train", "--policy", "lstm-v2", "--workers", "9" * 15), 2, "'environment.workers' cannot be"),
        (("train", "--policy", "lstm-v2", "--slots", "100000"), 2, "at most 64"),
        (
            ("train", "--policy", "lstm-v2", "--envs", "65536", "--epochs", "100000"),
            2,
            "--envs, environment.epochs and",
        ),
        (("train", "--policy", "lstm-v2", "-o", "hidden_dim"), 2, "cannot be read"),
        (("train", "--policy", "lstm-v2", "--critic", "state-valeu"), 2, "Did you mean 'state-value'?"),
        (("train", "--policy", "lstm-v2", "--use", "critc=state-value"), 2, "Did you mean 'critic'?"),
        (("train", "--policy", "lstm-v2", "--use", "state-value"), 2, "--use state-value cannot be read"),
        (("train", "--policy", "lstm-v2", "--updates", "0"), 2, "--updates cannot be 0"),
        (("train", "--policy", "lstm-v2", "--envs", "two"), 2, "--envs"),
        (("train", "--polcy", "lstm-v2"), 2, "--policy"),
        (("trian",), 2, "Did you mean 'train'?"),
        (("plugins", "show", "nothing"), 2, "There is no plugin 'nothing'"),
        (("runs", "show", "nothing"), 2, "There is no run 'nothing'"),
        (("--no-plugin", "lstm-v9", "plugins", "list"), 2, "Did you mean 'lstm-v2'?"),
        (("--no-plugin",), 2, "--no-plugin needs a value"),
        (("--registry", "missing.toml", "plugins", "list"), 2, "missing.toml"),
        (("train", "--policy", "lstm-v2", "--device", "gpu9"), 2, "gpu9"),
        (("train", "--policy", "lstm-v2", "--device", "cud"), 2, "Did you mean 'cuda'?"),
        (("train", "--policy", "lstm-v2", "--device", "cuda:99"), 2, "Use --device cpu"),
        (("train", "--policy", "lstm-v2", "--precision", "fp16"), 2, "Allowed: float32, bf16."),
        (("train", "--policy", "lstm-v2", "--threads", "0"), 2, "--threads cannot be 0"),
        (("train", "--policy", "lstm-v2", "--workers", "2", "-o", "environment.workers=1"), 2, "chosen twice"),
    ],
)
def test_the_message_names_the_mistake(esper, arguments, code, words):
    done = esper(*arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_an_unwritable_directory_is_named_before_any_work(esper, tmp_path):
    (tmp_path / "runs").write_text("a file")
    done = esper("train", "--policy", "lstm-v2")
    assert done.returncode == 2 and "runs" in done.stderr and "--out" in done.stderr


def test_a_damaged_registry_file_is_named_with_its_line(esper, tmp_path):
    (tmp_path / "registry.toml").write_text("schema = 1\n[defaults\n")
    done = esper("plugins", "list")
    assert done.returncode == 2 and "registry.toml:2:" in done.stderr


def test_debug_shows_the_traceback(esper):
    for arguments in (("--debug", "train", "--policy", "lstm-v3"), ("train", "--policy", "lstm-v3", "--debug")):
        done = esper(*arguments)
        assert done.returncode == 2 and "Traceback" in done.stderr and "Did you mean" in done.stderr


FAULTY = {
    "acme-raises": ("raise RuntimeError('half installed')", "RuntimeError: half installed"),
    "acme-exits": ("import sys\nsys.exit(3)", "sys.exit(3)"),
    "acme-missing": ("import no_such_module_anywhere", "no_such_module_anywhere"),
    "acme-misspells": (
        "from esper_core import hookimpl\n@hookimpl\ndef esper_component():\n    return []",
        "Did you mean 'esper_components'?",
    ),
    "acme-nonsense": (
        "from esper_core import hookimpl\n@hookimpl\ndef esper_components():\n    return ['lstm-v9']",
        "which is no ComponentSpec",
    ),
}


@pytest.mark.parametrize("distribution", sorted(FAULTY))
def test_a_faulty_plugin_is_shown_and_everything_else_works(esper, install, distribution):
    code, reason = FAULTY[distribution]
    site = install(distribution, code)
    records = {r["plugin"]: r for r in json.loads(esper("plugins", "list", "--json", path=site).stdout)}
    assert records[distribution]["status"] == "failed" and reason in records[distribution]["error"]
    assert all(r["status"] == "ok" for name, r in records.items() if name != distribution)
    assert reason in esper("plugins", "list", path=site).stdout
    assert esper("train", "--policy", "lstm-v2", "--dry-run", path=site).returncode == 0
    missing = esper("train", "--policy", "lstm-v9", "--dry-run", path=site)
    assert missing.returncode == 2 and distribution in missing.stderr, "it may have been the provider"


def test_a_taken_plugin_name_fails_and_the_owner_stays(esper, install):
    site = install("zz-copy", "from esper_core import hookimpl", plugin="lstm-v2")
    records = json.loads(esper("plugins", "list", "--json", path=site).stdout)
    both = {r["distribution"]: r for r in records if r["plugin"] == "lstm-v2"}
    assert both["esper-lstm-v2"]["status"] == "ok"
    assert both["zz-copy"]["status"] == "failed" and "already taken by esper-lstm-v2" in both["zz-copy"]["error"]


SECOND = """
from esper_core import ComponentSpec, hookimpl
@hookimpl
def esper_components():
    yield ComponentSpec(kind="network", name="lstm-v2", factory="acme_second:Net", defaults={"features": "obs-v3"})
"""


def test_a_component_name_that_two_distributions_provide_is_an_error_when_asked_for(esper, install, tmp_path):
    site = install("acme-second", SECOND)
    done = esper("train", "--policy", "lstm-v2", "--dry-run", path=site)
    assert done.returncode == 2 and "acme-second" in done.stderr and "esper-lstm-v2" in done.stderr
    assert esper("train", "--policy", "lstm-v1", "--dry-run", path=site).returncode == 0
    (tmp_path / "registry.toml").write_text('schema = 1\n[resolve]\n"network/lstm-v2" = "esper-lstm-v2"\n')
    assert esper("train", "--policy", "lstm-v2", "--dry-run", path=site).returncode == 0


def test_text_from_plugins_is_never_read_as_markup(esper, install):
    site = install("acme-markup", "raise RuntimeError('[bold]not bold[/bold] [red]')")
    assert "[bold]not bold[/bold] [red]" in esper("plugins", "list", path=site).stdout
