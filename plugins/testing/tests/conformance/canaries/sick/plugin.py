"""Registers every canary under the kebab-case name of its class, without torch."""

import ast
from pathlib import Path

from esper_core import ComponentSpec, hookimpl

HELPERS = ("Changed", "Conditioned")
"""Classes that canaries derive from."""

DESCRIBE = {
    "NamedTwice": "named_twice",
    "ThreeBlocks": "three_blocks",
    "SourceUnknown": "source_unknown",
    "VocabularyShort": "vocabulary_short",
    "ReadsMore": "few_fields",
    "ReadsLess": "few_fields",
}
FIELDS = ("target", "clock", "lit", "colour", "counts")
READS = {"ReadsMore": FIELDS} | dict.fromkeys(("ReadsLess", "Leaking", "NanWhenEmpty"), (*FIELDS, "brightness"))
CLAIMS = dict.fromkeys(("OpBlind", "QOnlyClaimed", "TakenIsBaseline", "BaselineBeyond"), ("critic:q-by-op",))


def kebab(name):
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


@hookimpl
def esper_components():
    for kind in ("network", "critic", "loss", "features"):
        tree = ast.parse(Path(__file__).with_name(f"{kind}.py").read_text())
        for name in (node.name for node in tree.body if isinstance(node, ast.ClassDef) and node.name not in HELPERS):
            describe = f"sick.describe:{DESCRIBE.get(name, 'describe_features')}" if kind == "features" else ""
            yield ComponentSpec(
                kind=kind,
                name=kebab(name),
                factory=f"sick.{kind}:{name}",
                describe=describe,
                summary="wrong in one way",
                reads=READS.get(name, ()),
                provides=CLAIMS.get(name, ("network:op-logits",) if kind == "network" else ()),
            )
