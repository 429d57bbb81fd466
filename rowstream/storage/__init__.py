"""The object store: the interface and S3."""
