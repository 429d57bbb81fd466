"""A record type for rowstream: flights that departed New York City."""
