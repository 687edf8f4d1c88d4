"""Validators: each knows one source of tokens."""
