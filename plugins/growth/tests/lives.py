"""Seeds that come, change and go at random, as episodes would have it."""

from __future__ import annotations

import torch

from esper_growth.actions import Algorithm
from esper_growth.model import SeedSetting
from esper_growth.stages import Stage

NAMES = ("conv_light", "attention", "norm", "depthwise", "bottleneck", "conv_small", "conv_heavy")
OF_SEQUENCES = ("flex_attention", "mlp", "lora", "norm", "attention", "mlp_small", "lora_large")
GROWN = (Stage.TRAINING, Stage.BLENDING, Stage.HOLDING, Stage.FOSSILIZED)
SLOTS = 3


class Life:
    """Seeds that come, change and go at random in several runtimes at once, as an episode would have it."""

    def __init__(self, seed: int, hosts: int, *runtimes, names=NAMES) -> None:
        self.generator, self.runtimes = torch.Generator().manual_seed(seed), runtimes
        self.names = names
        self.settings: list[dict[int, SeedSetting]] = [{} for _ in range(hosts)]

    def draw(self, choices):
        return choices[int(torch.randint(len(choices), (), generator=self.generator))]

    def do(self, method, *arguments):
        for runtime in self.runtimes:
            getattr(runtime, method)(*arguments)

    def go_on(self) -> None:
        """Let one operation happen in every host."""
        for env, seeds in enumerate(self.settings):
            slot = self.draw(range(SLOTS))
            algorithm = self.draw(list(Algorithm))
            if slot not in seeds:
                self.do("germinate", env, slot, self.draw(self.names), algorithm)
                seeds[slot] = SeedSetting(self.draw((Stage.GERMINATED, Stage.TRAINING)), 0.0, algorithm, False)
            elif self.draw(range(4)) == 0:
                self.do("remove", env, slot)
                del seeds[slot]
            else:
                self.do("set_algorithm", env, slot, algorithm)
                stage = self.draw(GROWN)
                alpha = 0.0 if stage == Stage.TRAINING else self.draw((0.0, 0.3, 1.0))
                frozen = stage == Stage.BLENDING and self.draw((False, True))
                seeds[slot] = SeedSetting(stage, alpha, algorithm, frozen)

    def frozen(self, envs):
        return {
            position: [slot for slot, s in self.settings[env].items() if s.frozen or not s.in_forward]
            for position, env in enumerate(envs)
        }
