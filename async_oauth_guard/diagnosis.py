"""What stands between a site and its guards: settings, servers, cache, database."""

__all__: list[str] = []
