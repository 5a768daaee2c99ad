"""Where bytes are stored: S3 or a folder, their keys, and this node's cache; not what they mean."""
