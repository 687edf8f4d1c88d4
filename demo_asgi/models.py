"""Clients, their tokens, and notes of users."""

import time

from django.conf import settings
from django.db import models


class OAuth2Client(models.Model):
    """An application that requests tokens."""

    client_id = models.CharField(max_length=48, unique=True)
    client_name = models.CharField(max_length=120)

    def __str__(self) -> str:
        return self.client_name


class OAuth2Token(models.Model):
    """An access token, with the methods that Authlib requires of a token model."""

    # `unique` makes the index: this is the column that every request looks up.
    access_token = models.CharField(max_length=255, unique=True)
    # With `to_field`, `token.client_id` is the client's public name and not its primary key.
    client = models.ForeignKey(OAuth2Client, models.CASCADE, to_field="client_id", related_name="tokens")
    # A client that acts for itself (the client credentials grant) has a token without a user.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="oauth2_tokens")
    scope = models.TextField(default="", blank=True)
    issued_at = models.PositiveBigIntegerField()
    expires_in = models.PositiveIntegerField()
    revoked = models.BooleanField(default=False)

    def __str__(self) -> str:
        # This text appears in logs and on error pages, so it must not contain the token.
        return f"token {self.pk} of {self.client_id}"

    def check_client(self, client: OAuth2Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return self.expires_in

    def get_expires_at(self) -> int:
        return self.issued_at + self.expires_in

    def is_expired(self) -> bool:
        return self.get_expires_at() <= time.time()

    def is_revoked(self) -> bool:
        return self.revoked


class Note(models.Model):
    """A line of text that belongs to a user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notes")
    text = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.text
