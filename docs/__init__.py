"""The documentation: written by hand but for `reference/`, which `docs.generate` makes from the code."""
