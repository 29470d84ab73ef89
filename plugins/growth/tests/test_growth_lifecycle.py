"""The life of a seed: every transition, every gate, every legality, against brute force."""

import itertools
import math

import pytest
import torch
from attrs import fields
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core import SlotConfig
from esper_growth.actions import ALPHA_CURVES, ALPHA_SPEEDS, ALPHA_TARGETS, TEMPOS, Algorithm, Curve, Op, action_spec
from esper_growth.alpha import curve
from esper_growth.lifecycle import SlotTable, legal_slots
from esper_growth.stages import HAS_MODULE, TRANSITIONS, AlphaMode, Stage

SPEC = action_spec(SlotConfig.for_grid(1, 3), [f"b{i}" for i in range(13)])
ON = torch.tensor([True])
GOOD = torch.full((1, 3), 0.1)


def actions(**heads: int) -> dict[str, torch.Tensor]:
    return {head.name: torch.tensor([int(heads.get(head.name, head.neutral))]) for head in SPEC.heads}


def reachable(stage: Stage, steps: int = 3) -> set[Stage]:
    """Return where a step can lead: an operation and a tick are at most three transitions."""
    return {stage}.union(*(reachable(following, steps - 1) for following in TRANSITIONS[stage] if steps))


REACHABLE = {(start, end) for start in Stage for end in reachable(start)}


class Life:
    """One environment's slots, stepped the way the environment steps them."""

    def __init__(self, auto_advance: bool = True) -> None:
        self.table, self.auto_advance = SlotTable.empty(1, 3), auto_advance

    def step(self, contribution: torch.Tensor = GOOD, **heads: int) -> tuple[bool, list[str]]:
        success, changes = self.table.apply(actions(**heads), contribution, ON)
        changes += self.table.tick(self.auto_advance, ON)
        self.table.pass_epoch(ON)
        return bool(success), [change.kind for change in changes]

    def wait(self, epochs: int) -> "Life":
        for _ in range(epochs):
            self.step()
        return self

    @property
    def stage(self) -> Stage:
        return Stage(int(self.table.stage[0, 0]))

    @property
    def alpha(self) -> float:
        return float(self.table.alpha[0, 0])

    @classmethod
    def holding(cls, **heads: int) -> "Life":
        life = cls()
        life.step(op=Op.GERMINATE, tempo=0, **heads)
        while life.stage != Stage.HOLDING:
            life.step()
        return life


STAGES_OF = {
    Op.WAIT: (),
    Op.GERMINATE: (Stage.DORMANT,),
    Op.SET_ALPHA_TARGET: (Stage.BLENDING, Stage.HOLDING),
    Op.PRUNE: (Stage.GERMINATED, Stage.TRAINING, Stage.BLENDING, Stage.HOLDING),
    Op.FOSSILIZE: (Stage.HOLDING,),
    Op.ADVANCE: (Stage.GERMINATED, Stage.TRAINING, Stage.BLENDING),
}


def legal_by_hand(stage: Stage, age: int, mode: AlphaMode, auto: bool, op: Op) -> bool:
    still = mode == AlphaMode.HOLD or op not in (Op.SET_ALPHA_TARGET, Op.PRUNE)
    return stage in STAGES_OF[op] and still and (age >= 5 or op != Op.PRUNE) and not (auto and op == Op.ADVANCE)


def test_legality_against_the_rules_written_out():
    cases = list(itertools.product(Stage, range(8), AlphaMode, (False, True)))
    stage, age, mode = (torch.tensor([[c[i]] for c in cases]) for i in range(3))
    legal = legal_slots(stage, age, mode, torch.tensor([c[3] for c in cases]))
    for row, case in zip(legal, cases, strict=True):
        assert [bool(row[op, 0]) for op in Op] == [legal_by_hand(*case, op) for op in Op], case


def test_a_seed_advances_by_itself_through_its_gates():
    life, seen = Life(), []
    before = life.table.shares()
    life.step(op=Op.GERMINATE, tempo=0, style=1)
    assert torch.equal(life.table.shares(), before), "at alpha 0 a blend is no share in the host"
    for _ in range(8):
        seen.append(life.stage.name)
        life.step()
    # one epoch germinated (G1), two in training (G2), a ramp of three ticks (G3), then it waits for a decision
    assert seen == ["GERMINATED", "TRAINING", "TRAINING", "BLENDING", "BLENDING", "HOLDING", "HOLDING", "HOLDING"]
    assert life.alpha == 1.0


@pytest.mark.parametrize("tempo", range(len(TEMPOS)))
def test_tempo_is_the_length_of_the_ramp(tempo):
    life, alphas, ticks = Life(), [], TEMPOS[tempo][1]
    life.step(op=Op.GERMINATE, tempo=tempo, style=0)
    while life.stage != Stage.HOLDING:
        alphas += [life.alpha] * (life.stage == Stage.BLENDING)
        life.step()
    assert [*alphas, life.alpha] == pytest.approx([(i + 1) / ticks for i in range(ticks)])
    assert float(life.table.alpha_velocity[0, 0]) == pytest.approx(1 / ticks)


@pytest.mark.parametrize("target", range(len(ALPHA_TARGETS)))
def test_any_target_reaches_holding_and_is_kept(target):
    life = Life.holding(alpha_target=target).wait(3)
    assert life.alpha == pytest.approx(ALPHA_TARGETS[target][1])
    assert life.step(op=Op.FOSSILIZE) == (True, ["fossilize"])
    assert life.wait(3).alpha == pytest.approx(ALPHA_TARGETS[target][1])
    assert life.stage == Stage.FOSSILIZED


@pytest.mark.parametrize("contribution", [float("nan"), 0.0, -0.1])
def test_gate_g5_refuses_what_does_not_contribute(contribution):
    table = Life.holding().table
    before = {f.name: getattr(table, f.name).clone() for f in fields(SlotTable)}
    success, changes = table.apply(actions(op=Op.FOSSILIZE), torch.full((1, 3), contribution), ON)
    assert not bool(success) and changes == []
    assert all(torch.equal(value, getattr(table, name)) for name, value in before.items())


def test_a_prune_from_training_is_immediate_and_the_slot_rests_for_seven_epochs():
    life = Life(auto_advance=False)
    life.step(op=Op.GERMINATE)
    life.step(op=Op.ADVANCE)
    life.wait(4)
    assert life.stage == Stage.TRAINING and int(life.table.age[0, 0]) == 6
    assert life.step(op=Op.PRUNE, alpha_speed=3)[1] == ["prune", "removed"]
    rest = []
    while life.stage != Stage.DORMANT:
        rest.append(life.stage.name)
        life.step()
    assert rest == ["PRUNED", *["EMBARGOED"] * 5, "RESETTING"]
    assert int(life.table.blueprint[0, 0]) == -1 and int(life.table.age[0, 0]) == 0


@pytest.mark.parametrize("speed", range(len(ALPHA_SPEEDS)))
def test_a_prune_from_holding_ramps_down_with_frozen_parameters(speed):
    life = Life.holding(style=0)
    ticks = ALPHA_SPEEDS[speed][1]
    life.step(op=Op.PRUNE, alpha_speed=speed)
    alphas = []
    while life.stage == Stage.BLENDING:
        assert bool(life.table.pruning[0, 0])
        alphas.append(life.alpha)
        life.step()
    assert alphas == pytest.approx([1 - (i + 1) / ticks for i in range(ticks - 1)])
    assert life.stage == Stage.PRUNED and life.alpha == 0.0 and not bool(life.table.pruning[0, 0])


def test_retargeting_a_holding_seed_goes_back_to_blending_and_may_change_the_blend():
    life = Life.holding()
    assert life.step(op=Op.SET_ALPHA_TARGET, alpha_target=0, alpha_speed=1, style=1)[0]
    assert life.stage == Stage.BLENDING and int(life.table.algorithm[0, 0]) == Algorithm.MULTIPLY
    assert not legal_slots(life.table.stage, life.table.age, life.table.mode, ON)[0, Op.SET_ALPHA_TARGET, 0]
    life.wait(2)
    assert life.stage == Stage.HOLDING and life.alpha == 0.5
    life.step(op=Op.SET_ALPHA_TARGET, alpha_target=2, alpha_speed=0)
    assert life.alpha == 1.0 and life.stage == Stage.HOLDING


def test_without_auto_advance_a_gate_that_has_not_passed_refuses():
    life = Life(auto_advance=False)
    life.step(op=Op.GERMINATE)
    assert life.step(op=Op.ADVANCE)[0] and life.stage == Stage.TRAINING
    assert not life.step(op=Op.ADVANCE)[0] and life.stage == Stage.TRAINING
    assert life.step(op=Op.ADVANCE)[0] and life.stage == Stage.BLENDING
    assert not life.step(op=Op.ADVANCE)[0] and life.stage == Stage.BLENDING
    life.wait(8)
    assert life.stage == Stage.BLENDING and life.step(op=Op.ADVANCE)[0] and life.stage == Stage.HOLDING


def share(kind: Curve, t: float, steepness: float = 12.0) -> float:
    return float(curve(torch.tensor(kind), *torch.tensor([t, steepness], dtype=torch.float64)))


RAMPS = {ticks for _, ticks in (*TEMPOS, *ALPHA_SPEEDS)}


def test_a_ramp_does_not_depend_on_what_is_beside_it():
    """Every share of every ramp, in every place of a tensor: PyTorch may round what fills no vector differently."""
    shares = sorted({ticks / total for total in RAMPS - {0} for ticks in range(total + 1)})
    for kind in Curve:
        for steepness in sorted({12.0, *(shape[2] for shape in ALPHA_CURVES)}):
            alone = torch.cat([ramp(kind, t, steepness, 1) for t in shares])
            beside = torch.stack([ramp(kind, t, steepness, 67) for t in shares])
            assert torch.equal(beside, alone[:, None].expand(-1, 67)), (kind, steepness)


def ramp(kind, t, steepness, times):
    return curve(torch.full((times,), kind), torch.full((times,), t), torch.full((times,), steepness))


def test_curves_are_their_formulas():
    assert share(Curve.LINEAR, 0.3) == pytest.approx(0.3)
    assert share(Curve.COSINE, 0.25) == pytest.approx((1 - math.cos(math.pi / 4)) / 2)
    rise, low, high = (1 / (1 + math.exp(-x)) for x in (6 * (0.7 - 0.5), -3, 3))
    assert share(Curve.SIGMOID, 0.7, 6.0) == pytest.approx((rise - low) / (high - low))


@given(st.sampled_from(list(Curve)), st.floats(0, 1), st.floats(0, 1), st.floats(0.5, 30))
def test_every_curve_rises_from_zero_to_one(kind, a, b, steepness):
    assert share(kind, 0.0, steepness) == pytest.approx(0.0, abs=1e-12)
    assert share(kind, 1.0, steepness) == pytest.approx(1.0)
    assert share(kind, min(a, b), steepness) <= share(kind, max(a, b), steepness) + 1e-12


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_random_legal_play_keeps_the_invariants(seed, auto_advance):
    generator = torch.Generator().manual_seed(seed)
    table, envs, slots = SlotTable.empty(4, 3), 4, 3
    active = torch.tensor([True, True, True, False])
    auto = torch.full((envs,), auto_advance)
    for _ in range(60):
        legal = legal_slots(table.stage, table.age, table.mode, auto)
        weights = legal.float()
        weights[:, Op.WAIT, 0] = 1.0
        pair = torch.multinomial(weights.flatten(1), 1, generator=generator)[:, 0]
        chosen = {h.name: torch.randint(h.size, (envs,), generator=generator) for h in SPEC.heads}
        chosen |= {"op": pair // slots, "slot": pair % slots}
        before = table.stage.flatten().tolist()
        _, changes = table.apply(chosen, torch.randn(envs, slots, generator=generator), active)
        changes += table.tick(auto_advance, active)
        table.pass_epoch(active)
        assert set(zip(before, table.stage.flatten().tolist(), strict=True)) <= REACHABLE
        with_module = torch.isin(table.stage, torch.tensor(HAS_MODULE))
        assert torch.equal(table.blueprint >= 0, with_module)
        assert bool(((table.alpha >= 0) & (table.alpha <= with_module)).all())
        assert bool((table.mode[table.stage != Stage.BLENDING] == AlphaMode.HOLD).all())
        assert bool((table.ticks_to_target >= 0).all())
        assert bool((table.stage[3] == Stage.DORMANT).all()), "an inactive environment never changes"
        assert all(change.env != 3 for change in changes)
