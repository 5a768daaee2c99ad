"""From a user's images to staged arrays and splits. Knows experiments, the store and who registered them; no nets."""
