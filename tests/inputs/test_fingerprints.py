"""Fingerprints against a dictionary, with marks that begin alike, end alike and fill the table."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from featx.inputs.fingerprints import FINGERPRINT_BYTES, Fingerprints

halves = st.sampled_from([bytes(8), b"\x01" + bytes(7), bytes(7) + b"\x01", b"\xff" * 8, b"\x80" * 8])
marks = st.builds(lambda first, last: first + last, halves, halves)
"""25 marks, five of which share each first half: the part by which they are looked up."""


def known_from(found: list[bytes]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Marks as a cache holds them."""
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, FINGERPRINT_BYTES)


@given(st.lists(marks, max_size=12), st.lists(marks, max_size=60))
def test_a_mark_is_found_where_a_dictionary_finds_it_first(known: list[bytes], to_come: list[bytes]) -> None:
    fingerprints = Fingerprints(known_from(known), rows=len(to_come), to_come=len(to_come))
    oracle: dict[bytes, int] = {}
    for place, mark in enumerate(known):
        oracle.setdefault(mark, place)
    for row, mark in enumerate(to_come):
        assert fingerprints.find(mark) == oracle.get(mark)
        if mark not in oracle:
            fingerprints.add(mark, row)
            oracle[mark] = len(known) + row
    for mark in {*known, *to_come}:
        assert fingerprints.find(mark) == oracle[mark]


@given(st.sets(st.integers(0, 199), max_size=40))
def test_rows_may_be_any_of_the_image_set(rows: set[int]) -> None:
    fingerprints = Fingerprints(known_from([]), rows=200, to_come=len(rows))
    for row in sorted(rows):
        fingerprints.add(bytes([row]) * FINGERPRINT_BYTES, row)
    found = {row: fingerprints.find(bytes([row]) * FINGERPRINT_BYTES) for row in range(200)}
    assert found == {row: row if row in rows else None for row in range(200)}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 6, 7, 8, 100, 1000])
def test_a_table_that_is_as_full_as_it_can_be_still_ends_its_searches(count: int) -> None:
    fingerprints = Fingerprints(known_from([]), rows=count, to_come=count)
    made = [bytes(8) + row.to_bytes(8, "little") for row in range(count)]  # all begin in the same slot
    for row, mark in enumerate(made):
        fingerprints.add(mark, row)
    assert [fingerprints.find(mark) for mark in made] == list(range(count))
    assert fingerprints.find(b"\xff" * FINGERPRINT_BYTES) is None
    assert fingerprints.find(bytes(8) + b"\xff" * 8) is None
