"""What every component must do, whatever its kind."""

from __future__ import annotations

from esper_core.composition.config import config_class, describe_options, structure_config, unstructure_config
from esper_core.contracts.errors import ConfigError
from esper_core.registry.references import load_reference
from esper_testing.conformance.importing import assert_light, entry_module
from esper_testing.conformance.subject import SLOTS, Subject
from esper_testing.conformance.suite import BUILT, Suite

EVERY_KIND = Suite("", ("registration", "spec", "light-config", "config", BUILT))


@EVERY_KIND.check("registration", after=())
def registration(subject: Subject) -> None:
    """Importing the plugin's module, as every command does, imports nothing heavy such as torch."""
    assert_light(entry_module(subject.component))


@EVERY_KIND.check("spec", after=())
def spec(subject: Subject) -> None:
    """Everything the spec names can be imported, and it says in one line what the component is."""
    for reference in filter(
        None,
        (subject.spec.factory, subject.spec.config, subject.spec.describe, subject.spec.metrics, subject.spec.example),
    ):
        load_reference(reference, str(subject.component), subject.component.distribution)
    assert subject.spec.summary.strip(), "its spec has no summary, so listings cannot say what it is"
    if subject.kind in ("features", "environment"):
        assert subject.spec.describe, f"its spec has no `describe`, without which no plan holds a {subject.kind}"


@EVERY_KIND.check("light-config", after=("registration", "spec"))
def light_config(subject: Subject) -> None:
    """The modules of its config class, `describe` and metrics import nothing heavy, so that plans need no torch."""
    references = filter(None, (subject.spec.config, subject.spec.describe, subject.spec.metrics))
    assert_light(*(reference.partition(":")[0] for reference in references))


@EVERY_KIND.check("config", after=("spec",))
def config(subject: Subject) -> None:
    """Its config class has defaults, explains every option, survives being written down, and refuses unknown keys."""
    component = subject.component
    cls = config_class(component)
    undocumented = [row.key for row in describe_options(cls) if not row.help.strip()]
    assert not undocumented, f"options without a line of help: {', '.join(undocumented)}"
    default = structure_config(component, {})
    again = structure_config(component, unstructure_config(default))
    assert again == default, f"its config changes when it is written down and read back: {default} became {again}"
    try:
        structure_config(component, {"no_such_option": 1})
    except ConfigError:
        return
    raise AssertionError("its config takes in an option that does not exist")


@EVERY_KIND.check(BUILT, after=("config",))
def built(subject: Subject) -> None:
    """Its factory builds what its kind's protocol asks for, with default or example options, for any N."""
    for slots in SLOTS:
        part = subject.build(slots)
        assert part is not None, f"its factory returned None for {slots} slots"
        if subject.kind == "environment":
            part.close()
