"""The rows of the authorization server. Seeding again puts them back as they were, and touches no other."""

import dataclasses

from django.db import transaction

from . import keys
from .clients import CLIENTS, RESOURCE_OWNERS
from .models import OAuth2Client, ResourceOwner, SigningKey


@transaction.atomic
def seed() -> None:
    """Write the rows, or put them back as they were. Keys are kept."""
    for username in RESOURCE_OWNERS:
        ResourceOwner.objects.get_or_create(username=username)
    for client in CLIENTS:
        defaults = dataclasses.asdict(client)
        OAuth2Client.objects.update_or_create(client_id=defaults.pop("client_id"), defaults=defaults)
    if not SigningKey.objects.exists():
        keys.rotate(keep_old=False)
