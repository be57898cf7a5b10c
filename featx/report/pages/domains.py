"""Transfer: the gap between domains, what a source is worth, what adapting gives, and every harm by name."""

from collections.abc import Iterator
from dataclasses import replace

from featx.report.adaptations import adaptation_sections
from featx.report.gains import gain_sections
from featx.report.gaps import gap_sections
from featx.report.measures import show_p, with_interval
from featx.report.pages.material import Material
from featx.report.section import Section
from featx.transfer import Adaptation, Gain, Gap

_HARM = ("where", "who is harmed", "difference", "p (Holm)")


def domain_sections(material: Material) -> Iterator[Section]:
    """Gap, gain and adaptation, as far as they are given; then the list of harm, if anything of that was measured."""
    adaptations = material.of(Adaptation)
    for gap in dict.fromkeys([*material.of(Gap), *(one.gap for one in adaptations)]):
        yield from _titled(gap_sections(gap), "gap")
    gains = list_gains(material)
    for target, gain in gains:
        for section in _titled(gain_sections(gain), "gain"):
            yield replace(section, title=f"{section.title} on {target}") if target else section
    for adaptation in adaptations:
        yield from _titled(adaptation_sections(adaptation), "adaptation")
    if gains or adaptations:
        yield _harm_section(list_harm(material))


def list_gains(material: Material) -> list[tuple[str, Gain]]:
    """Each gain with the name of its target, which is empty outside of suites."""
    of_suites = [(one.target, one.gain) for suite in material.suites for one in suite.gain]
    return [*(("", gain) for gain in material.of(Gain)), *of_suites]


def list_harm(material: Material) -> tuple[tuple[str, ...], ...]:
    """Where, who is harmed, by how much, and with which p."""
    return (*_harm_of_gains(material), *_harm_of_adaptations(material))


def _harm_of_gains(material: Material) -> Iterator[tuple[str, ...]]:
    for target, gain in list_gains(material):
        for row in gain.rows:
            shots = "all labels" if row.shots is None else f"{row.shots} shots"
            where = f"{f'{target}: ' if target else ''}{row.head} on {row.backbone}:{row.output}, {shots}"
            if row.verdict == "harms":
                yield (where, "all images", with_interval(f"{row.difference:+.3f}", row.ci), show_p(row.p_holm))
            parts = [("class", part) for part in row.per_class] + [("group", part) for part in row.per_group]
            for what, part in parts:
                if part.verdict == "harms":
                    difference = with_interval(f"{part.difference:+.3f}", part.ci)
                    yield (where, f"{what} {part.name}", difference, show_p(part.p_holm))


def _harm_of_adaptations(material: Material) -> Iterator[tuple[str, ...]]:
    for adaptation in material.of(Adaptation):
        for row in adaptation.rows:
            if row.verdict == "harms" and row.difference is not None:
                difference = with_interval(f"{row.difference:+.3f}", row.ci)
                yield (f"adapting by {row.method}", "images of the target", difference, show_p(row.p_holm))


def _harm_section(harm: tuple[tuple[str, ...], ...]) -> Section:
    sentence = f"Transfer harms in {len(harm)} cases." if len(harm) != 1 else "Transfer harms in one case."
    return Section(
        title="Transfer: harm",
        sentence=sentence if harm else "No harm was found beyond chance.",
        columns=_HARM if harm else (),
        rows=harm,
        notes=(
            "p: after Holm's correction; what is not listed may still be harmed by less than these images can show",
        ),
        name="harm",
    )


def _titled(sections: list[Section], name: str) -> list[Section]:
    return [replace(one, title=f"Transfer: {one.title or name}", name=one.name or name) for one in sections]
