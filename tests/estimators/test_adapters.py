"""Adapters bring the target to the source, or the source to the target, and never read labels of the target."""

from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from sklearn.base import clone
from sklearn.covariance import ledoit_wolf
from sklearn.pipeline import make_pipeline

from featx.errors import HeadError
from featx.estimators.domains.adapter import DomainAdapter
from featx.estimators.domains.mapping import CoralAdapter, TransportAdapter
from featx.estimators.domains.pair import DomainPair
from featx.estimators.domains.standardising import DomainStandardiser
from featx.estimators.softmax import SoftmaxRegression

ADAPTERS = [DomainStandardiser(), DomainStandardiser(0), CoralAdapter(), TransportAdapter()]
EACH = pytest.mark.parametrize("adapter", ADAPTERS, ids=repr)


def two_domains(*, rows: int = 120, columns: int = 5, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(rows, columns)) @ rng.normal(size=(columns, columns)) + 1
    target = rng.normal(size=(rows // 2, columns)) @ rng.normal(size=(columns, columns)) - 3
    return source, target


def both(adapter: DomainAdapter, source: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The adapted rows of both domains."""
    return adapter.transform(source, sample_domain=np.ones(len(source))), adapter.transform(target)


@EACH
def test_stacked_rows_and_two_arrays_are_adapted_alike(adapter: DomainAdapter) -> None:
    source, target = two_domains()
    domain = np.r_[np.full(len(source), 2), np.full(len(target), -7)]
    order = np.random.default_rng(1).permutation(len(domain))
    stacked = clone(adapter).fit_transform(np.vstack([source, target])[order], sample_domain=domain[order])
    mapped = np.vstack(both(clone(adapter).fit_domains(source, target), source, target))
    assert np.allclose(stacked, mapped[order])


@EACH
@pytest.mark.parametrize("garbage", [np.nan, -1, None, "?"])
def test_labels_of_the_target_are_never_read(adapter: DomainAdapter, garbage: object) -> None:
    source, target = two_domains()
    rows, domain = np.vstack([source, target]), np.r_[np.ones(len(source)), -np.ones(len(target))]
    shares = {"shrinkage": 5.0, "target_shares": {0.0: 0.2, 1.0: 0.8}}
    given = clone(adapter).set_params(**(shares if isinstance(adapter, DomainStandardiser) else {}))
    results = []
    for labels in (np.arange(len(target)) % 2, np.full(len(target), garbage)):
        y = [*(np.arange(len(source)) % 2).astype(float), *labels]
        results.append(clone(given).fit(rows, np.array(y, object), sample_domain=domain).transform(target))
    assert np.array_equal(*results)


@EACH
def test_the_order_of_rows_does_not_matter(adapter: DomainAdapter) -> None:
    source, target = two_domains()
    one, other = clone(adapter).fit_domains(source, target), clone(adapter).fit_domains(source[::-1], target[::-1])
    for mapped, again in zip(both(one, source, target), both(other, source, target), strict=True):
        assert np.allclose(mapped, again)


@EACH
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_rows_of_lower_precision_are_adapted_as_those_of_double_precision(adapter: DomainAdapter, kind: type) -> None:
    source, target = two_domains()
    source, target = source.astype(kind), target.astype(kind)
    low = both(clone(adapter).fit_domains(source, target), source, target)
    exact = clone(adapter).fit_domains(source.astype(np.float64), target.astype(np.float64))
    for mapped, expected in zip(low, both(exact, source, target), strict=True):
        assert np.allclose(mapped, expected, rtol=1e-3, atol=1e-3)


@EACH
def test_equal_domains_are_left_as_they_are(adapter: DomainAdapter) -> None:
    source, _ = two_domains()
    for mapped in both(clone(adapter).fit_domains(source, source), source, source):
        assert np.allclose(mapped, source)


@EACH
def test_memory_maps_are_read_as_arrays_are(adapter: DomainAdapter, tmp_path: Any) -> None:
    source, target = two_domains()
    maps = []
    for name, rows in (("source", source), ("target", target)):
        np.save(tmp_path / f"{name}.npy", rows)
        maps.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    mapped = both(clone(adapter).fit_domains(*maps), *maps)
    for one, other in zip(mapped, both(clone(adapter).fit_domains(source, target), source, target), strict=True):
        assert np.array_equal(one, other)


@EACH
def test_constant_columns_and_fewer_rows_than_columns_give_finite_rows(adapter: DomainAdapter) -> None:
    source, target = two_domains(rows=12, columns=20)
    source[:, 0], target[:, 1] = 3, 4
    source[:, 2] = target[:, 2] = 5
    adapted, mapped = both(clone(adapter).fit_domains(source, target), source, target)
    assert np.isfinite(adapted).all()
    assert np.isfinite(mapped).all()


@EACH
@pytest.mark.parametrize("scale", [1e-40, 1e-25, 1e12])
def test_a_column_of_extreme_scale_stays_a_number_and_harms_no_other(adapter: DomainAdapter, scale: float) -> None:
    source, target = two_domains()
    factors = np.r_[scale, np.ones(4)]
    low = source * factors, target * factors
    single = low[0].astype(np.float32), low[1].astype(np.float32)
    fitted = clone(adapter).fit_domains(*single)
    for mapped, expected in zip(both(fitted, *single), both(clone(adapter).fit_domains(*low), *low), strict=True):
        assert np.isfinite(mapped).all()
        assert np.allclose(mapped[:, 1:], expected[:, 1:], atol=0.01)


@EACH
def test_a_fitted_adapter_is_saved_without_pickle(adapter: DomainAdapter) -> None:
    source, target = two_domains()
    fitted = clone(adapter).fit_domains(source, target)
    data = skops.io.dumps(make_pipeline(fitted))
    loaded = skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))
    assert np.array_equal(loaded.transform(target), fitted.transform(target))


@EACH
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda source, target: (source, target.tolist()), "the target is no array of numbers"),
        (lambda source, target: (source, target[:, 0]), "the target is no array of numbers"),
        (lambda source, target: (source, target[:0]), "the target has no rows"),
        (lambda source, target: (source[:, 1:], target), "the source has 4 columns and the target 5"),
        (lambda source, target: (source, np.where(target > 5, target, np.nan)), "column 0 of the target is NaN"),
        (lambda source, target: (np.where(source > 5, source, np.inf), target), "column 0 of the source is NaN"),
    ],
)
def test_domains_that_do_not_fit_are_an_error(adapter: DomainAdapter, change: Any, message: str) -> None:
    with pytest.raises(HeadError, match=message):
        clone(adapter).fit_domains(*change(*two_domains()))


def test_a_domain_must_be_named_for_each_row() -> None:
    source, _ = two_domains()
    for wrong in (np.ones(3), np.zeros(len(source)), np.full(len(source), "source")):
        with pytest.raises(HeadError, match="above 0 for the source and below 0 for the target"):
            DomainStandardiser().fit(source, sample_domain=wrong)
    with pytest.raises(HeadError, match="the target has no rows"):
        DomainStandardiser().fit(source, sample_domain=np.ones(len(source)))


def test_the_target_gets_the_means_and_deviations_of_the_source() -> None:
    source, target = two_domains()
    adapted, mapped = both(DomainStandardiser(0).fit_domains(source, target), source, target)
    assert adapted is source
    assert np.allclose(mapped.mean(axis=0), source.mean(axis=0))
    assert np.allclose(mapped.std(axis=0), source.std(axis=0))


def test_a_target_of_few_rows_is_moved_by_its_part_of_rows() -> None:
    source, target = two_domains()
    fitted = DomainStandardiser(len(target)).fit_domains(source, target)
    assert np.allclose(fitted.target_mean_, (source.mean(axis=0) + target.mean(axis=0)) / 2)
    assert np.allclose(fitted.factor_, np.sqrt(2 * source.var(axis=0) / (source.var(axis=0) + target.var(axis=0))))
    one = DomainStandardiser(50).fit_domains(source, target[:1])
    assert np.allclose(one.factor_, np.sqrt(51 / 50))


def test_shares_of_the_target_weigh_the_rows_of_the_source() -> None:
    source, target = two_domains()
    labels = np.array(["cat", "dog", "eel"])[np.arange(len(source)) % 3]
    shares = {"cat": 0.5, "dog": 0.5, "eel": 0.0}
    weighted = DomainStandardiser(target_shares=shares).fit_domains(source, target, labels=labels)
    without = DomainStandardiser().fit_domains(source[labels != "eel"], target)
    assert np.allclose(weighted.transform(target), without.transform(target))


def test_with_its_true_shares_a_target_of_other_shares_but_equal_looks_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    labels, others = np.repeat([0, 1], 4000), np.repeat([0, 1], [800, 7200])
    source, target = (rng.normal(size=(len(y), 3)) + 4 * y[:, np.newaxis] for y in (labels, others))
    told = DomainStandardiser(target_shares={0: 0.1, 1: 0.9}).fit_domains(source, target, labels=labels)
    untold = DomainStandardiser().fit_domains(source, target, labels=labels)
    assert np.abs(told.transform(target) - target).max() < 0.3
    assert np.abs(untold.transform(target) - target).max() > 1
    model = SoftmaxRegression().fit(source, labels)
    assert (model.predict(told.transform(target)) == others).mean() > (
        model.predict(untold.transform(target)) == others
    ).mean()


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({0: 1.0}, "class 1 of the source has no share"),
        ({0: 0.5, 1: 0.2, 2: 0.3}, "class 2 has a share in the target but no rows in the source"),
        ({0: 0.5, 1: 0.2}, "at least 0 and sum to 1"),
        ({0: 1.5, 1: -0.5}, "at least 0 and sum to 1"),
    ],
)
def test_shares_that_are_none_of_the_target_are_an_error(shares: dict[int, float], message: str) -> None:
    source, target = two_domains()
    with pytest.raises(HeadError, match=message):
        DomainStandardiser(target_shares=shares).fit_domains(source, target, labels=np.arange(len(source)) % 2)


def test_shares_need_the_labels_of_the_source_one_for_each_row() -> None:
    source, target = two_domains()
    with pytest.raises(HeadError, match="without labels of the source"):
        DomainStandardiser(target_shares={0: 1.0}).fit_domains(source, target)
    with pytest.raises(HeadError, match="give each row one label"):
        DomainStandardiser(target_shares={0: 1.0}).fit_domains(source, target, labels=np.ones((len(source), 2)))
    with pytest.raises(HeadError, match="there are 2 labels for 120 rows of the source"):
        DomainPair(source, target, [0, 1])


def shrunk_covariances(source: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The covariances of both domains by scikit-learn, and the scale of the columns that they are of."""
    scale = np.sqrt((source.var(axis=0) + target.var(axis=0)) / 2)
    return ledoit_wolf(source / scale)[0], ledoit_wolf(target / scale)[0], scale


@pytest.mark.parametrize("rows", [400, 30, 8], ids=["many rows", "few rows", "fewer rows than columns"])
def test_coral_is_its_closed_form(rows: int) -> None:
    source, target = two_domains(rows=rows, columns=9)
    from_, to, scale = shrunk_covariances(source, target)
    mapping = np.linalg.inv(sqrtm(from_)) @ sqrtm(to)
    adapted, mapped = both(CoralAdapter().fit_domains(source, target), source, target)
    assert np.allclose(adapted, (source - source.mean(axis=0)) / scale @ mapping * scale + target.mean(axis=0))
    assert mapped is target


@pytest.mark.parametrize("rows", [400, 30, 8], ids=["many rows", "few rows", "fewer rows than columns"])
def test_transport_is_its_closed_form_and_moves_the_one_covariance_to_the_other(rows: int) -> None:
    source, target = two_domains(rows=rows, columns=9)
    from_, to, scale = shrunk_covariances(source, target)
    root = sqrtm(from_)
    mapping = np.linalg.inv(root) @ sqrtm(root @ to @ root) @ np.linalg.inv(root)
    adapter = TransportAdapter().fit_domains(source, target)
    adapted, mapped = both(adapter, source, target)
    assert np.allclose(adapted, (source - source.mean(axis=0)) / scale @ mapping * scale + target.mean(axis=0))
    assert mapped is target
    scaled = adapter.map_ * scale[:, np.newaxis] / scale
    assert np.allclose(scaled, scaled.T)
    assert np.linalg.eigvalsh(scaled).min() > 0
    assert np.allclose(scaled @ from_ @ scaled, to)


@pytest.mark.parametrize("adapter", [CoralAdapter(), TransportAdapter()], ids=repr)
def test_the_mapped_source_has_the_mean_and_covariance_of_the_target(adapter: DomainAdapter) -> None:
    rng = np.random.default_rng(0)
    source, target = (rng.normal(size=(n, 5)) @ (np.eye(5) + 0.2 * rng.normal(size=(5, 5))) for n in (9000, 6000))
    adapted, _ = both(clone(adapter).fit_domains(source, target), source, target)
    assert np.allclose(adapted.mean(axis=0), target.mean(axis=0))
    assert np.allclose(np.cov(adapted.T), np.cov(target.T), atol=0.01)


def test_transport_moves_rows_less_than_coral() -> None:
    source, target = two_domains(rows=2000)
    scale = shrunk_covariances(source, target)[-1]
    source, target = source / scale, target / scale
    moved = [
        np.square(both(adapter.fit_domains(source, target), source, target)[0] - source).sum()
        for adapter in (TransportAdapter(), CoralAdapter())
    ]
    assert moved[0] < moved[1]


@pytest.mark.parametrize("adapter", [CoralAdapter(), TransportAdapter()], ids=repr)
def test_a_domain_of_equal_rows_has_no_covariance(adapter: DomainAdapter) -> None:
    source, target = two_domains()
    for few in (target[:1], np.repeat(target[:1], 5, axis=0)):
        with pytest.raises(HeadError, match="the target has no covariance: all its rows are equal"):
            clone(adapter).fit_domains(source, few)


def test_adapters_that_are_given_one_pair_measure_it_once() -> None:
    pair = DomainPair(*two_domains())
    first = CoralAdapter().fit_pair(pair)
    assert TransportAdapter().fit_pair(pair).source_mean_ is first.source_mean_
    assert pair.source_covariance is pair.source_covariance
    assert np.allclose(
        TransportAdapter().fit_domains(pair.source, pair.target).map_, TransportAdapter().fit_pair(pair).map_
    )
