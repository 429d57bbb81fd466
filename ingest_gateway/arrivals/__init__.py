"""The ways in that are not HTTP requests of a caller: each ends in the same use case, `accept`."""
