"""Signals: what was let in, and what was not."""

from authlib.integrations.django_oauth2 import token_authenticated
from django.dispatch import Signal

__all__ = ["token_authenticated", "token_rejected"]

#: Sent with ``request`` and ``error`` (a `GuardError`, with its ``reason``) when a guard refuses a request.
token_rejected = Signal()
