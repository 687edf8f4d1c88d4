"""Token models as sites have them, each with Authlib's protocol: ``is_expired``, ``is_revoked``, ``get_scope``."""

import contextvars
import time
from typing import Any, ClassVar

from django.conf import settings
from django.db import models

tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")


class Token(models.Model):
    """What all of them have."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    client_id = models.CharField(max_length=48, default="client")
    scope = models.TextField(default="")
    revoked = models.BooleanField(default=False)
    expires_at = models.BigIntegerField(null=True)
    groups = models.JSONField(default=list)
    roles = models.JSONField(default=list)
    entitlements = models.JSONField(default=list)

    class Meta:
        abstract = True

    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= time.time()

    def is_revoked(self) -> bool:
        return self.revoked

    def get_scope(self) -> str:
        return self.scope


class OAuth2Token(Token):
    """The ordinary one."""

    access_token = models.CharField(max_length=255, unique=True)


class BoundToken(Token):
    """Says what it is bound to, in one of two ways."""

    access_token = models.CharField(max_length=255, unique=True)
    cnf = models.JSONField(null=True)
    dpop_jkt = models.CharField(max_length=43, default="")


class StepUpToken(Token):
    """Says how its user authenticated, and what was granted in detail."""

    access_token = models.CharField(max_length=255, unique=True)
    acr = models.JSONField(null=True)
    auth_time = models.JSONField(null=True)
    authorization_details = models.JSONField(null=True)


class HashedToken(Token):
    """Holds no token, but its SHA-256 digest."""

    token_hash = models.CharField(max_length=64, unique=True)


class UUIDToken(Token):
    """A lookup column that takes nothing but UUIDs."""

    access_token = models.UUIDField(unique=True)


class LoginSession(models.Model):
    """What a `RelatedToken` lives and dies with."""

    closed = models.BooleanField(default=False)


class RelatedToken(Token):
    """Revoked with its session, a related row."""

    access_token = models.CharField(max_length=255, unique=True)
    session = models.ForeignKey(LoginSession, models.CASCADE)

    def is_revoked(self) -> bool:
        return self.session.closed


class Revocation(models.Model):
    """Names a `QueryingToken` that is revoked."""

    access_token = models.CharField(max_length=255, unique=True)


class QueryingToken(Token):
    """Asks the database whether it is revoked."""

    access_token = models.CharField(max_length=255, unique=True)

    def is_revoked(self) -> bool:
        return Revocation.objects.filter(access_token=self.access_token).exists()


class TenantManager(models.Manager["TenantToken"]):
    """Sees the rows of the current tenant only."""

    def get_queryset(self) -> models.QuerySet["TenantToken"]:
        return super().get_queryset().filter(tenant=tenant.get("nobody"))


class TenantToken(Token):
    """The same token may exist for several tenants."""

    access_token = models.CharField(max_length=255)
    tenant = models.CharField(max_length=20)

    objects: ClassVar[TenantManager] = TenantManager()

    class Meta:
        constraints: ClassVar[list[Any]] = [
            models.UniqueConstraint(fields=["access_token", "tenant"], name="token_once_a_tenant"),
        ]


class AnyTenantToken(TenantToken):
    """The same rows without regard to the tenant: two of them may hold one token."""

    objects: ClassVar[models.Manager["AnyTenantToken"]] = models.Manager()  # type: ignore[assignment]

    class Meta:
        proxy = True


class NumberToken(Token):
    """A lookup column of numbers, of which databases have a largest."""

    access_token = models.BigIntegerField(unique=True)


class OrphanToken(Token):
    """Outlives its user, who is no constraint of the database's."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, related_name="+", db_constraint=False
    )
    access_token = models.CharField(max_length=255, unique=True)


class PlainUserToken(models.Model):
    """Names its user by a number, and knows no more of them."""

    access_token = models.CharField(max_length=255, unique=True)
    user_id = models.IntegerField(null=True)

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return "profile"


class Client(models.Model):
    """The client of a `ClientToken`."""

    client_id = models.CharField(max_length=48)


class ClientToken(Token):
    """Keeps its client in a separate table, as django-oauth-toolkit does."""

    access_token = models.CharField(max_length=255, unique=True)
    application = models.ForeignKey(Client, models.CASCADE, related_name="+")


class LifetimeToken(models.Model):
    """Authlib's own columns: when it was issued, and for how long it is good. None of these has a default."""

    access_token = models.CharField(max_length=255, unique=True)
    token_type = models.CharField(max_length=40)
    scope = models.TextField()
    issued_at = models.PositiveBigIntegerField()
    expires_in = models.PositiveIntegerField()
    revoked = models.DateTimeField(null=True)

    def is_expired(self) -> bool:
        return self.issued_at + self.expires_in <= time.time()

    def is_revoked(self) -> bool:
        return self.revoked is not None

    def get_scope(self) -> str:
        return self.scope


class ListToken(models.Model):
    """Keeps its scopes as a list, never ends, and says more of itself where somebody wants to."""

    access_token = models.CharField(max_length=255, unique=True)
    scopes = models.JSONField()
    note = models.CharField(max_length=40, blank=True)

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return False

    def get_scope(self) -> str:
        return " ".join(self.scopes)
