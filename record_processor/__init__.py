"""Validates chunks, loads rows and rejections."""
