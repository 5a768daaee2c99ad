"""Uses of a trained model: predictions on this machine, and a folder to share."""
