"""The memory of images: whatever was learned from is recognised, and hardly anything else."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from featx.learned import MOST_BYTES, join_memories, recognise_images, remember_images


def marks(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, 16), np.uint8)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 3000), seed=st.integers(0, 10))
def test_every_image_that_was_learned_from_is_recognised_in_any_order(count: int, seed: int) -> None:
    known = marks(count, seed)
    memory = remember_images(known)
    assert recognise_images(memory, known[::-1][: count // 2]).all()
    assert remember_images(known[::-1]) == memory


@pytest.mark.parametrize("count", [20, 2_000, 13_000])
def test_fewer_than_a_thousandth_of_other_images_are_recognised(count: int) -> None:
    memory = remember_images(marks(count))
    assert recognise_images(memory, marks(50_000, seed=1)).mean() < 1.5e-3


def test_more_images_are_remembered_in_the_same_size_with_more_mistakes() -> None:
    known = marks(60_000)
    memory = remember_images(known)
    assert len(memory) < MOST_BYTES * 4 / 3 + 10
    assert recognise_images(memory, known).all()
    assert recognise_images(memory, marks(5_000, seed=1)).mean() < 0.3


def test_nothing_is_recognised_without_a_memory() -> None:
    assert not recognise_images("", marks(5)).any()
    assert not recognise_images(remember_images(marks(0)), marks(5)).any()


def test_joined_memories_recognise_the_images_of_both() -> None:
    memory = join_memories(remember_images(marks(20)), remember_images(marks(300, seed=1)))
    assert recognise_images(memory, np.concatenate([marks(20), marks(300, seed=1)])).all()
    assert recognise_images(memory, marks(5_000, seed=2)).mean() < 0.01
    assert join_memories("", memory) == memory == join_memories(memory, "")


@pytest.mark.parametrize("memory", ["3", "x:AAAA", "3:%%%", "0:AAAA", "99:AAAA", "3:"])
def test_a_text_that_is_no_memory_is_refused(memory: str) -> None:
    with pytest.raises(ValueError, match=r"memory|base64|invalid"):
        recognise_images(memory, marks(1))
