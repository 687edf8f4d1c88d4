"""Clients, resource owners, the tokens that were issued, and the keys that signed them."""

import time
from hmac import compare_digest

from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin
from django.db import models


class ResourceOwner(models.Model):
    """A person who has something worth protecting. That people prove who they are is left out here."""

    # The `sub` of this person's tokens. RFC 9068 asks for a name that stays with one person: here nobody is renamed.
    username = models.CharField(max_length=150, unique=True)

    def __str__(self) -> str:
        return self.username

    def get_user_id(self) -> str:
        return self.username


class OAuth2Client(models.Model, ClientMixin):
    """Who may ask here for tokens, or about them: always with a secret."""

    FORMATS = {"": "no tokens at all", "jwt": "JWTs (RFC 9068)", "opaque": "opaque tokens"}

    client_id = models.CharField(max_length=48, unique=True)
    # In the clear, since it is printed anyway.
    client_secret = models.CharField(max_length=120)
    name = models.CharField(max_length=120)
    token_format = models.CharField(max_length=6, choices=FORMATS, blank=True)
    grant_types = models.TextField(blank=True)
    scope = models.TextField(blank=True)
    introspects = models.BooleanField(default=False)

    # Authlib's `save_token` asks whom a client belongs to: these belong to nobody.
    user_id = None

    def __str__(self) -> str:
        return self.name

    def get_client_id(self) -> str:
        return self.client_id

    def check_client_secret(self, client_secret: str) -> bool:
        return compare_digest(self.client_secret.encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in self.grant_types.split()

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """The scopes of a token: those asked for, or all of the client's. ``None`` where one is not the client's."""
        if not scope:
            return self.scope
        return scope if set(scope.split()) <= set(self.scope.split()) else None


class OAuth2Token(models.Model, TokenMixin):
    """An access token that was issued here, JWT or not."""

    access_token = models.TextField(unique=True)
    token_type = models.CharField(max_length=20)
    client = models.ForeignKey(OAuth2Client, models.CASCADE, to_field="client_id", related_name="tokens")
    user = models.ForeignKey(ResourceOwner, models.CASCADE, null=True, related_name="tokens")
    scope = models.TextField(blank=True)
    issued_at = models.PositiveBigIntegerField()
    expires_in = models.PositiveIntegerField()
    revoked = models.BooleanField(default=False)

    def __str__(self) -> str:
        # Never the token: this text ends up in logs and on error pages.
        return f"token {self.pk} of {self.client_id}"

    @property
    def subject(self) -> str:
        """RFC 9068 §2.2: the resource owner, or, where none is involved, the client."""
        return self.client_id if self.user is None else self.user.username

    @property
    def expires_at(self) -> int:
        return self.issued_at + self.expires_in

    def check_client(self, client: OAuth2Client) -> bool:
        return self.client_id == client.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_expires_in(self) -> int:
        return self.expires_in

    def is_expired(self) -> bool:
        return self.expires_at <= time.time()

    def is_revoked(self) -> bool:
        return self.revoked

    def get_user(self) -> ResourceOwner | None:
        return self.user


class SigningKey(models.Model):
    """A private key, as a JWK. The newest one signs; all that are here are published."""

    jwk = models.JSONField()

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"key {self.jwk['kid']}"
