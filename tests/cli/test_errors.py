"""What goes wrong is one clear message on standard error, an exit status, and an empty standard output."""

import pytest

from esper_core.cli.app import run

TRAIN = ("train", "--policy", "lstm-v2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "--policy", "lstm-v3"), "Did you mean 'lstm-v2'?"),
        ((*TRAIN, "--slots", "0"), "A policy needs at least one slot, not 0."),
        ((*TRAIN, "-o", "network.hiden_dim=64"), "Did you mean 'hidden_dim'?"),
        ((*TRAIN, "--envs", "65536", "--epochs", "100000"), "Lower --envs, the steps of an episode"),
        ((*TRAIN, "--critic", "state-valeu"), "Did you mean 'state-value'?"),
        ((*TRAIN, "--use", "critc=state-value"), "Did you mean 'critic'?"),
        ((*TRAIN, "--use", "state-value"), "--use state-value cannot be read"),
        ((*TRAIN, "--updates", "0"), "--updates cannot be 0"),
        ((*TRAIN, "--envs", "two"), "--envs"),
        (("train", "--polcy", "lstm-v2"), "--policy"),
        (("runs", "show", "nothing"), "There is no run 'nothing'"),
        (("plugins", "show", "growht"), "Did you mean 'growth'?"),
        (("runs", "show", "x" * 300), f"{'x' * 300}: File name too long"),
        ((*TRAIN, "--out", "x" * 300), "File name too long"),
        (("runs", "show", "a\0b"), "NUL byte"),
        (("--no-plugin",), "--no-plugin: expected one argument"),
        (("--registry", "missing.toml", "plugins", "list"), "missing.toml"),
        (("runs", "show", "--", "--debug"), "There is no run '--debug'"),
        ((*TRAIN, "--device", "cuda:99"), "Use --device cpu"),
        ((*TRAIN, "--workers", "2", "-o", "environment.workers=1"), "chosen twice"),
    ],
)
def test_the_message_names_the_mistake(esper, arguments, words):
    done = esper(*arguments)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_working_directory_that_is_gone_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert run(["policy", "list"]) == 2
    assert "The working directory is no longer there." in capsys.readouterr().err


def test_debug_shows_the_traceback(esper):
    wrong = ("train", "--policy", "lstm-v3")
    for arguments in (("--debug", *wrong), (*wrong, "--debug")):
        done = esper(*arguments)
        assert done.returncode == 2 and "Traceback" in done.stderr and "Did you mean" in done.stderr


def test_a_faulty_plugin_is_shown_and_everything_else_works(esper, install):
    site = install("acme-raises", "raise RuntimeError('half installed')")
    listed = esper("plugins", "list", path=site).stdout
    assert "acme-raises (acme-raises 1.0) failed: importing it raised RuntimeError: half installed" in listed
    missing = esper("train", "--policy", "lstm-v9", "--dry-run", path=site)
    assert missing.returncode == 2 and "acme-raises" in missing.stderr, "it may have been the provider"
    assert esper(*TRAIN, "--dry-run", path=site).returncode == 0
