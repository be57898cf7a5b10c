"""Which sources are worth their cost: no other one is at least as accurate and cheaper."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from featx.cache import Cost
from featx.transfer.scores.ranking import RankedSource


def with_costs(ranking: Sequence[RankedSource], costs: Sequence[Cost | None]) -> tuple[RankedSource, ...]:
    """The ranking with the cost of each source, and whether it is on the Pareto front of accuracy and cost.

    Sources that are tied with the first are as accurate as it. Sources without a cost are not compared, and none are
    if costs were measured on different devices.
    """
    seconds = [None if cost is None else cost.seconds_per_image for cost in costs]
    comparable = len(_places(costs)) == 1
    return tuple(
        replace(one, seconds_per_image=cost, pareto=_is_front(one, cost, ranking, seconds) if comparable else None)
        for one, cost in zip(ranking, seconds, strict=True)
    )


def _is_front(
    one: RankedSource, cost: float | None, ranking: Sequence[RankedSource], costs: Sequence[float | None]
) -> bool | None:
    """Whether no other source has both the accuracy and the cost of this one, and is better in one of them."""
    if cost is None:
        return None
    own = _loss(one), cost
    others = [(_loss(other), known) for other, known in zip(ranking, costs, strict=True) if known is not None]
    return not any(loss <= own[0] and known <= cost and (loss, known) != own for loss, known in others)


def _loss(one: RankedSource) -> float:
    """How much less accurate the source is than the first, as far as the images tell."""
    return 0.0 if one.tied else -one.difference


def cost_notes(ranking: Sequence[RankedSource], costs: Sequence[Cost | None]) -> Iterator[str]:
    """Which costs are missing or cannot be compared."""
    places = _places(costs)
    if len(places) > 1:
        yield f"costs are not compared: they were measured on {'; '.join(places)}"
    missing = dict.fromkeys(one.backbone for one, cost in zip(ranking, costs, strict=True) if cost is None)
    if missing and places:
        yield f"the caches of {', '.join(missing)} do not say what an image has cost: extract anew for that"


def _places(costs: Sequence[Cost | None]) -> dict[str, None]:
    """Where the costs were measured, in words."""
    return dict.fromkeys(_place(cost) for cost in costs if cost is not None)


def _place(cost: Cost) -> str:
    cores = f" with {cost.cores} cores" if cost.cores else ""
    return f"{cost.device}{cores} ({cost.provider})"
