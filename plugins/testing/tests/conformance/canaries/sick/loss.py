"""Losses that are wrong in one way each."""

import torch
from attrs import evolve

from esper_core.contracts.protocols import LossResult
from esper_testing.reference.learned import ReferenceLoss


class NotScalar(ReferenceLoss):
    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        return LossResult(result.loss.reshape(1), result.kl, result.metrics)


class MetricWithHistory(ReferenceLoss):
    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        return LossResult(result.loss, result.kl, {"loss": result.loss})


class KlWithHistory(ReferenceLoss):
    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        return LossResult(result.loss, result.kl + 0 * result.loss, result.metrics)


class TargetIsText(ReferenceLoss):
    target_kl = "0.03"


class Adapting(ReferenceLoss):
    """Weighs its loss by how often it was asked."""

    weight = 1.0

    def __call__(self, batch, evaluation):
        self.weight *= 0.99
        result = super().__call__(batch, evaluation)
        return LossResult(self.weight * result.loss, result.kl, result.metrics)


class StandardisesInPlace(ReferenceLoss):
    def __call__(self, batch, evaluation):
        batch.advantages.div_(batch.advantages[batch.valid].abs().amax().clamp_min(1e-6) / 2)
        return super().__call__(batch, evaluation)


class OneHeadOnly(ReferenceLoss):
    def __call__(self, batch, evaluation):
        name = self._actions.names[0]
        return super().__call__(batch, evolve(evaluation, log_prob={name: evaluation.log_prob[name]}))


class ReadsPadding(ReferenceLoss):
    def __call__(self, batch, evaluation):
        everything = evolve(batch, valid=torch.ones_like(batch.valid))
        return LossResult(super().__call__(everything, evaluation).loss, super().__call__(batch, evaluation).kl, {})


class StandardisesAgain(ReferenceLoss):
    def __call__(self, batch, evaluation):
        seen = batch.advantages[batch.valid]
        advantages = (batch.advantages - seen.mean()) / (seen.std() + 1e-8)
        return super().__call__(evolve(batch, advantages=advantages), evaluation)


class MaskIgnored(ReferenceLoss):
    """Takes log-probabilities of the raw logits: over illegal entries too, and for heads that were not asked."""

    def __call__(self, batch, evaluation):
        log_prob = {
            name: logits.log_softmax(-1).gather(-1, batch.actions[name].unsqueeze(-1)).squeeze(-1)
            for name, logits in evaluation.logits.items()
        }
        return super().__call__(batch, evolve(evaluation, log_prob=log_prob))


class EstimatedKl(ReferenceLoss):
    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        apart = torch.stack([batch.old_log_prob[n] - evaluation.log_prob[n] for n in evaluation.log_prob]).sum(0)
        return LossResult(result.loss, apart[batch.valid].mean().detach(), result.metrics)


class WrongSign(ReferenceLoss):
    def __call__(self, batch, evaluation):
        return super().__call__(evolve(batch, advantages=-batch.advantages), evaluation)


class NoRegression(ReferenceLoss):
    def __call__(self, batch, evaluation):
        values = evaluation.values._replace(q_taken=evaluation.values.q_taken.detach())
        return super().__call__(batch, evolve(evaluation, values=values))


class AwayFromReturns(ReferenceLoss):
    def __call__(self, batch, evaluation):
        taken = evaluation.values.q_taken
        values = evaluation.values._replace(q_taken=2 * taken.detach() - taken)
        return super().__call__(batch, evolve(evaluation, values=values))


class AllEntropy(ReferenceLoss):
    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        entropy = torch.stack(list(evaluation.entropy.values())).sum(0)
        bonus = torch.where(batch.valid, entropy, 0.0).sum() / batch.valid.sum().clamp_min(1)
        return LossResult(result.loss - 100 * bonus, result.kl, result.metrics)


class FloatOnlyLoss(ReferenceLoss):
    def __call__(self, batch, evaluation):
        result = super().__call__(batch, evaluation)
        return LossResult(result.loss.float(), result.kl, result.metrics)


class CpuOnlyLoss(ReferenceLoss):
    def __call__(self, batch, evaluation):
        weight = torch.ones(batch.valid.shape, dtype=batch.advantages.dtype)
        return super().__call__(evolve(batch, advantages=batch.advantages * weight), evaluation)
