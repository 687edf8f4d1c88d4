"""Validates tokens from a database table, JWTs and introspected tokens, and checks the requirements of a view.

`guard` lets requests in or refuses them. `protocol` contains the rules of the RFCs.
"""
