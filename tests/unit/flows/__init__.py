"""Flows driven by hand."""
