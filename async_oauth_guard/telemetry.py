"""Traces and metrics by OpenTelemetry; the only module that imports it."""

__all__: list[str] = []
