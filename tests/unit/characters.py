"""The characters of random texts."""

from hypothesis import strategies as st

ANY_CHARACTER = st.characters(exclude_categories=["Cs"])
"""Those of ``st.text()``: all but surrogates. It finds these by encoding each character, which takes seconds."""
