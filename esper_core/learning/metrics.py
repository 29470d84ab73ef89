"""What the metrics of every run mean; components declare theirs beside them. Torch is not imported."""

from __future__ import annotations

from esper_core.contracts.metrics import Metric

DRAWN = Metric(
    ("slots",),
    "slots of the update; only where a number is drawn for each (`--slots 1,2,3`)",
    advice="compare updates of the same number: more slots are worth more",
    headline=6,
)
"""Of runs that draw a number of slots for each update; no other run has it."""

METRICS = (
    Metric(
        ("return",),
        "what the environment calls the return, mean over the episodes that ended",
        healthy="rises",
        headline=1,
    ),
    Metric(
        ("reward_sum",),
        "all rewards of a row, shaping included, in its episode, or in a rollout that is part of episodes; mean",
        healthy="rises",
    ),
    DRAWN,
    Metric(
        ("op/<op>",),
        "share of steps at which an operation was taken",
        healthy="none near 1",
        advice="see `one-operation`",
    ),
    Metric(
        ("entropy/<head>",),
        "entropy given that the head matters and has a choice, as a fraction of ln k of its legal entries; of a head"
        " of numbers the differential entropy in nats per number, which may be negative",
        healthy="begins at 1 (numbers: wherever), falls slowly",
        advice="see `collapsed-before-use`, `operation-certain`",
        headline=7,
    ),
    Metric(("legal/<head>",), "k: legal entries that the head then chooses from; a head of numbers has no such metric"),
    Metric(
        ("std/<head>", "std_min/<head>"),
        "standard deviation of the numbers that a head draws, before they are squashed: mean and smallest, over the"
        " steps at which it mattered",
        healthy="falls slowly",
        advice="see `deviation-collapsed`",
    ),
    Metric(
        ("saturated/<head>",),
        "share of the numbers drawn that tanh takes within 1 % of a bound; of a head that is not squashed, that are"
        " cut off",
        healthy="below 0.5",
        advice="see `actions-saturated`",
    ),
    Metric(
        ("used/<head>", "used_share/<head>"),
        "steps at which the head mattered and had a choice, since the start of the run; their share of all steps",
        healthy="rises",
        advice="a head learns from these steps alone",
    ),
    Metric(("forced_fraction",), "share of steps at which no head had a choice", healthy="below 1"),
    Metric(
        ("ratio_at_start",),
        "joint probability ratio farthest from 1 before the first gradient step",
        healthy="1: exactly with one minibatch, up to rounding with several",
        advice="see `ratio-starts-high`",
    ),
    Metric(
        ("behaviour_log_prob_gap",),
        "largest difference between log-probabilities when acting and when learning",
        healthy="below 1e-4",
        advice="see `acting-differs`",
    ),
    Metric(
        ("ratio_min/<head>", "ratio_mean/<head>", "ratio_max/<head>"),
        "probability ratio of a head over its choices, in all evaluations of the update",
        healthy="mean near 1, largest below 3",
        advice="see `ratio-exploded`",
    ),
    Metric(
        ("ratio_min", "ratio_mean", "ratio_max"),
        "the same of the joint ratio, the product over heads",
        advice="look at the heads first: the product hides them",
    ),
    Metric(("loss",), "what is minimised, mean over the gradient steps"),
    Metric(
        ("teacher_loss",),
        "the part of it that a teacher adds: its weight times the mean of −ln π of what it would do; negative where the"
        " densities of numbers are high",
        healthy="falls",
    ),
    Metric(
        ("teacher_weight",),
        "the weight of a teacher in this update; only where there is one",
        healthy="falls to exactly 0",
    ),
    Metric(
        ("teacher_probability",),
        "probability that the policy gives to what a teacher would do, all heads of categories together, mean over the"
        " steps and gradient steps; only while it is asked",
        healthy="rises",
        advice="with `train.teacher_softness` it ends below 1",
    ),
    Metric(
        ("leave_one_out_weight",),
        "β of `train.leave_one_out`: σ_u²/(σ_u² + σ_w²/(K − 1)) of earlier updates",
        healthy="well above 0",
        advice="near 0 rows of one instance have nothing in common that the critic does not know: leave it out",
    ),
    Metric(
        ("leave_one_out_variance",),
        "variance that this baseline leaves of returns minus first values, as a share, by the formula; null while"
        " nothing is known",
        healthy="below 1",
    ),
    Metric(
        ("surprise_between", "surprise_within"),
        "σ_u² and σ_w²: variance of returns minus first values that rows of one instance share, and that of each alone,"
        " over recent updates, in squared units of reward; only with `train.leave_one_out`",
        advice="compare `esper variance`",
    ),
    Metric(
        ("privileged_effect",),
        "by how much values move when the critic is not told what is privileged, root mean square in units of reward;"
        " only for a critic that is",
        healthy="above 0",
    ),
    Metric(
        ("kl", "kl/<head>"),
        "exact KL(old ‖ new) at the last evaluation, nats; the heads' add up to the joint one",
        healthy="below `loss.target_kl`",
        advice="learning from a rollout ends at 1.5 times the target",
        headline=8,
    ),
    Metric(
        ("skipped_updates",),
        "updates skipped since the start of the run, because a number was not finite",
        healthy="0",
        advice="see [reliability.md](reliability.md#numbers-that-are-not-finite)",
    ),
    Metric(
        ("update_epochs_done",),
        "epochs over the rollout that were finished",
        healthy="`train.update_epochs` most of the time",
        advice="see `no-epoch-finished`",
    ),
    Metric(
        ("explained_variance",),
        "1 − Var(R − Q)/Var(R) before the update; null where returns vary less than a hundredth of what they"
        " did so far",
        healthy="above 0, rises",
        advice="see `critic-worse-than-constant`",
        headline=9,
    ),
    Metric(
        ("value_rmse", "return_std"),
        "error of the values, and spread of all returns so far, in units of reward; `return_std` is null while all were"
        " equal, and advantages are 0 then",
        healthy="error below the spread",
        advice="see `values-far-off`",
    ),
    Metric(
        ("q_spread",),
        "most valuable minus least valuable legal operation, mean, in units of reward",
        advice="see `critic-ignores-operation`",
    ),
    Metric(
        ("advantage/<op>",),
        "mean advantage of the steps with this operation, in units of reward",
        healthy="not 0 for all",
        advice="when all vanish while the policy is still bad, the operation head is not taught: use"
        " `critic.baseline=expected`",
    ),
    Metric(
        ("grad_norm", "grad_norm_network", "grad_norm_critic"),
        "norm of the gradient before it is bounded, mean over the gradient steps",
        healthy="below 10",
        advice="see `gradient-large`",
    ),
    Metric(
        ("grad_norm/<head>",),
        "norm of the loss's derivative by the head's logits, mean over the gradient steps",
        healthy="above 0 where used",
        advice="see `head-without-gradient`",
    ),
    Metric(
        ("state_rms/<part>", "state_max/<part>"),
        "recurrent state after the last step of each row, or of its last whole chunk of `train.bptt_steps`: root mean"
        " square, largest size",
        healthy="below 5",
        advice="see `state-large`",
    ),
)
