"""What a trained model is good for: predictions here, and a folder to give away."""
