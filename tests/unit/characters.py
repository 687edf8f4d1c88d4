"""The characters of random texts."""

from hypothesis import strategies as st

ANY_CHARACTER = st.characters(exclude_categories=["Cs"])
"""Those of ``st.text()``: all but surrogates. To find these, that encodes each character, which takes seconds."""
