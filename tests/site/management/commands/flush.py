"""Django runs this ``flush`` after each test with transactions, in the place of its own."""

from typing import Any

from django.core.management.commands import flush
from django.db import connections, transaction

KEPT = {"auth_permission", "django_content_type"}
"""Tables of rows that Django's own command makes again, from the models."""


class Command(flush.Command):
    """Deletes all rows. Most tables are empty, and truncating them would take a server a second."""

    def handle(self, **options: Any) -> None:
        connection = connections[options["database"]]
        tables = {*connection.introspection.django_table_names(only_existing=True)} - KEPT
        with (
            connection.constraint_checks_disabled(),
            transaction.atomic(options["database"]),
            connection.cursor() as cursor,
        ):
            for table in sorted(tables):
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
