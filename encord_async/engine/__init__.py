"""Entries to outcomes: what is ready, what is sent, what is in doubt, one run from its start to its end."""
