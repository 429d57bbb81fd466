"""Folds chunk results into totals, audit log, status and metrics; reconciles."""
