"""The base of what shows itself: a title, its facts but for empty ones, and HTML that no text can break."""

from dataclasses import dataclass

from featx.showing import Overview, Shown, shorten


@dataclass(frozen=True, repr=False)
class Box(Shown):
    """Something to show."""

    colour: str

    def overview(self) -> Overview:
        return Overview("Box: 2 x 3", (("colour", self.colour), ("weight", "")))


def test_the_repr_is_the_title_and_one_line_for_each_fact_that_says_something() -> None:
    assert repr(Box("red")) == "Box: 2 x 3\n  colour: red"


def test_html_has_the_same_facts_with_every_text_escaped() -> None:
    html = Box("<b>red</b>")._repr_html_()
    assert "&lt;b&gt;red&lt;/b&gt;" in html
    assert "<b>" not in html
    assert "Box: 2 x 3" in html
    assert "weight" not in html


def test_a_long_list_is_cut_and_the_rest_counted() -> None:
    assert shorten("abc", most=3) == "a, b, c"
    assert shorten("abcde", most=3) == "a, b, c and 2 more"
