"""Where bytes lie: S3 or a folder, its keys, and the copy on this node. Knows nothing of what the bytes mean."""
