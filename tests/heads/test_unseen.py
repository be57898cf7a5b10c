"""A head that was adapted knows its source from its target, though their images have the same names."""

from dataclasses import replace

from featx.hashing import hash_columns
from featx.heads import find_unseen, is_of_source, tell_apart, train_head
from tests.support.tables import make_table


def test_a_source_with_the_names_of_the_target_is_known_by_its_digest() -> None:
    target = replace(make_table((30, 30)), digest="target")
    source = replace(target, digest="source")  # the same features: predictions cannot tell them apart
    head, _ = train_head(target, "class-mean", jobs=1)
    adaptation = {"source": {"table": "source", "images": hash_columns([source.names])}}
    adapted = replace(head, training={**head.training, "adaptation": adaptation})
    assert is_of_source(adapted, source)
    assert find_unseen(adapted, source) is None
    assert "adapted from" in tell_apart(adapted, source)
    assert not is_of_source(adapted, target)
    assert find_unseen(adapted, target) is not None
    assert not is_of_source(head, target)
