"""The keys that sign JWTs, and their rotation."""

from django.db import transaction
from joserfc.jwk import ECKey, KeySet

from .models import SigningKey

ALGORITHM = "ES256"


def signing_key_set() -> KeySet:
    """The newest key alone, with its private part: from a set, joserfc takes the ``kid`` of the header too."""
    return KeySet([newest_key()])


def newest_key() -> ECKey:
    """The key that signs, with its private part."""
    newest = SigningKey.objects.first()
    assert newest is not None, "seeding makes the first one"
    return ECKey.import_key(newest.jwk)


def new_key() -> ECKey:
    """A key that nobody knows yet."""
    return ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, private=True, auto_kid=True)


def public_key_set() -> dict[str, object]:
    """What anybody may know: the JWK Set (RFC 7517 §5) of all keys, without their private parts."""
    return KeySet([ECKey.import_key(key.jwk) for key in SigningKey.objects.all()]).as_dict(private=False)


def kids() -> list[str]:
    """The names of all that are published, newest first."""
    return [key.jwk["kid"] for key in SigningKey.objects.all()]


@transaction.atomic
def rotate(*, keep_old: bool) -> str:
    """Sign with a new key from now on; its ``kid``. Whatever an old key signed is good as long as that is published."""
    key = new_key()
    if not keep_old:
        SigningKey.objects.all().delete()
    SigningKey.objects.create(jwk=key.as_dict(private=True))
    return key.kid
