"""Sequences of rules, as generators that ask for I/O and do none (see `effects`)."""
