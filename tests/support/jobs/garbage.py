"""Bytes that somebody else may have written where camq reads."""

from hypothesis import strategies as st

from shared.contract import encode

GARBAGE = st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
).map(encode)
NUMBERS = st.sampled_from([b"", b"-1", b"1e999", b"nan", b"9" * 30, b"9" * 5000, b"[]", b'"\xff"', b"\x00"])
