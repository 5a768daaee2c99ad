"""What the report calls a metric's score, and the seed of its intervals."""

# metric of the search -> name of its score, as `evaluate` names it
SCORE_OF_METRIC = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced_accuracy",
    "f1_macro": "f1",
    "log_loss": "log_loss",
}
BOOTSTRAP_SEED = 0
