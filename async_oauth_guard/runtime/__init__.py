"""Performs all I/O, for sync and async callers: effects, drivers, event loop, HTTP, cache, threads, database.

Code that decides about tokens or requests does not belong here: it is in flows, which yield effects to this package.
"""
