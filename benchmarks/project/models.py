"""The token table, as in an application for Authlib."""

import time
from typing import Any

from authlib.oauth2.rfc6749 import TokenMixin
from django.conf import settings
from django.db import models


class Token(TokenMixin, models.Model):  # type: ignore[misc,unused-ignore]
    access_token: "models.CharField[str, str]" = models.CharField(max_length=255, unique=True)
    user: "models.ForeignKey[Any, Any]" = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    client_id: "models.CharField[str, str]" = models.CharField(max_length=48)
    scope: "models.TextField[str, str]" = models.TextField()
    expires_at: "models.BigIntegerField[int, int]" = models.BigIntegerField()
    revoked: "models.BooleanField[bool, bool]" = models.BooleanField(default=False)

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return self.expires_at < time.time()

    def is_revoked(self) -> bool:
        return self.revoked
