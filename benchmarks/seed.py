"""Child process: creates the tables, and fills them with users and tokens."""

import datetime
import time

from .contenders import GRANTED_SCOPE, TOKENS, USERS, token_string

LIFETIME = datetime.timedelta(days=7)
BATCH = 500


def main() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    seed()


def seed() -> None:
    from django.contrib.auth.models import User
    from django.utils import timezone
    from oauth2_provider.models import AccessToken, Application  # type: ignore[import-untyped,unused-ignore]

    from .project.models import Token

    User.objects.bulk_create([User(username=f"user{number}", password="!") for number in range(USERS)])
    users = list(User.objects.order_by("pk"))
    application = Application.objects.create(
        name="bench",
        client_type=Application.CLIENT_CONFIDENTIAL,
        authorization_grant_type=Application.GRANT_CLIENT_CREDENTIALS,
    )
    expires = timezone.now() + LIFETIME
    expires_at = int(time.time() + LIFETIME.total_seconds())
    Token.objects.bulk_create(
        [
            Token(
                access_token=token_string(index),
                user=users[index % USERS],
                client_id=application.client_id,
                scope=GRANTED_SCOPE,
                expires_at=expires_at,
            )
            for index in range(TOKENS)
        ],
        batch_size=BATCH,
    )
    AccessToken.objects.bulk_create(
        [
            AccessToken(
                token=token_string(index),
                user=users[index % USERS],
                application=application,
                scope=GRANTED_SCOPE,
                expires=expires,
            )
            for index in range(TOKENS)
        ],
        batch_size=BATCH,
    )


if __name__ == "__main__":
    main()
