"""Validators, without a server."""
