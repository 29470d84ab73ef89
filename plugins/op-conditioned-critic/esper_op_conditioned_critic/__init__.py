"""Critics: `op-conditioned-critic`, Q(s, op) with two baselines, and `state-value`, plain V(s)."""
