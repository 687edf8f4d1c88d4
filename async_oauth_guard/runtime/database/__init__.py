"""Token lookups: on the caller's own connection, or batched with lookups of concurrent requests.

The choice of the column, and the checks of a row that was found, belong in `validators`.
"""
