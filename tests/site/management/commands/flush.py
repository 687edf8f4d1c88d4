"""Django runs this ``flush`` after each test with transactions, in the place of its own."""

import functools
from typing import Any

from django.core.management import base
from django.core.management.commands import flush
from django.db import connections, transaction

KEPT = {"auth_permission", "django_content_type"}
"""Tables of rows that Django's own command makes again, from the models."""


class Command(flush.Command):
    """Deletes all rows. Most tables are empty, and truncating them would take a server a second."""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> base.CommandParser:
        """The same for each test: to make it takes as long as to empty the tables."""
        return _parser()

    def handle(self, **options: Any) -> None:
        connection = connections[options["database"]]
        tables = {*connection.introspection.django_table_names(only_existing=True)} - KEPT
        with (
            connection.constraint_checks_disabled(),
            transaction.atomic(options["database"]),
            connection.cursor() as cursor,
        ):
            for table in _tables_with_rows(cursor, {name: connection.ops.quote_name(name) for name in sorted(tables)}):
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")


@functools.cache
def _parser() -> base.CommandParser:
    return flush.Command().create_parser("manage.py", "flush")


def _tables_with_rows(cursor: Any, tables: dict[str, str]) -> list[str]:
    """Those of the tables that are not empty, by one query. The values of ``tables`` are the names as SQL."""
    asked = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {quoted})" for name, quoted in tables.items())
    cursor.execute(" UNION ALL ".join(asked))
    return [row[0] for row in cursor.fetchall()]
