"""Guards ASGI applications: reads their scopes, sends refusals, and calls the applications.

Code that decides about a request does not belong here: see the modules of `guard`, which this package does not import.
"""
