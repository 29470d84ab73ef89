"""Registers every canary under the kebab-case name of its class, without torch."""

from esper_core import ComponentSpec, hookimpl

NETWORKS = (
    "SlotsHardCoded",
    "BlocksHardCoded",
    "InputDimOff",
    "NamesClash",
    "OpConstant",
    "BatchFirst",
    "BareState",
    "StateNotZero",
    "HeadMissing",
    "Noisy",
    "StateOnModule",
    "Unseeded",
    "InPlace",
    "Overflowing",
    "BatchNormalised",
    "HiddenShared",
    "Forgetful",
    "Clairvoyant",
    "ResetIgnored",
    "ActsOtherwise",
    "DeadParameter",
    "PlainTensor",
    "FloatOnly",
    "MixedPrecision",
    "CpuOnly",
)
CRITICS = (
    "TrailingAxis",
    "RefusesWithoutHint",
    "TakenIsBaseline",
    "BaselineBeyond",
    "QUnclaimed",
    "OpBlind",
    "QOnlyClaimed",
    "DropsOut",
    "UnseededValue",
    "ReluInPlace",
    "Centred",
    "NoRescale",
    "Detached",
    "DeadValueParameter",
    "StatisticsOutside",
    "FloatOnlyValue",
    "MixedPrecisionValue",
    "CpuOnlyValue",
)
LOSSES = (
    "NotScalar",
    "MetricWithHistory",
    "KlWithHistory",
    "TargetIsText",
    "Adapting",
    "StandardisesInPlace",
    "OneHeadOnly",
    "ReadsPadding",
    "StandardisesAgain",
    "MaskIgnored",
    "EstimatedKl",
    "WrongSign",
    "NoRegression",
    "AwayFromReturns",
    "AllEntropy",
    "FloatOnlyLoss",
    "CpuOnlyLoss",
)
FEATURES = {
    "NamedTwice": "named_twice",
    "ThreeBlocks": "three_blocks",
    "SourceUnknown": "source_unknown",
    "DimensionOff": "describe_features",
    "VocabularyShort": "vocabulary_short",
    "NanWhenEmpty": "describe_features",
    "Unclamped": "describe_features",
    "Jittery": "describe_features",
    "ScalesInPlace": "describe_features",
    "BatchCentred": "describe_features",
    "Leaking": "describe_features",
    "DeadColumn": "describe_features",
    "Swapped": "describe_features",
    "FirstThreeSlots": "describe_features",
    "ReadsMore": "few_fields",
    "ReadsLess": "few_fields",
    "FloatOnlyFeatures": "describe_features",
    "CpuOnlyFeatures": "describe_features",
    "BackOnCpu": "describe_features",
}
FIELDS = ("target", "clock", "lit", "colour", "counts")
READS = {"ReadsMore": FIELDS} | dict.fromkeys(("ReadsLess", "Leaking", "NanWhenEmpty"), (*FIELDS, "brightness"))
CLAIMS = dict.fromkeys(("OpBlind", "QOnlyClaimed", "TakenIsBaseline", "BaselineBeyond"), ("critic:q-by-op",))


def kebab(name):
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


@hookimpl
def esper_components():
    for kind, names in (("network", NETWORKS), ("critic", CRITICS), ("loss", LOSSES)):
        claims = ("network:op-logits",) if kind == "network" else ()
        for name in names:
            yield ComponentSpec(
                kind=kind,
                name=kebab(name),
                factory=f"sick.{kind}:{name}",
                summary="wrong in one way",
                provides=CLAIMS.get(name, claims),
            )
    for name, describe in FEATURES.items():
        yield ComponentSpec(
            kind="features",
            name=kebab(name),
            factory=f"sick.features:{name}",
            describe=f"sick.describe:{describe}",
            summary="wrong in one way",
            reads=READS.get(name, ()),
        )
