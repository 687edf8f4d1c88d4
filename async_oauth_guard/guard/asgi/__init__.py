"""Serves ASGI applications for a guard: reads their scopes, sends refusals, and ends connections.

Code that decides about a request does not belong here: see the modules of `guard`, which this package does not import.
"""
