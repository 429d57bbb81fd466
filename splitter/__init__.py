"""Streams one stored file into chunks of records."""
