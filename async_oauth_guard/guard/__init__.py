"""From a request to a view, and back: protector, decorators, CSRF, responses, signals.

Code that parses a token or decides whether it is valid does not belong here: see `validators` and `protocol`.
"""
