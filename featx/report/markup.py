"""Elements of HTML and SVG: all texts are escaped when the tree is written, so that no name becomes markup."""

import re
from xml.etree.ElementTree import Element

from featx.showing import visible

Part = Element | str | None
"""What may be inside an element; None is nothing."""
_NO_CHARACTERS = re.compile("[\ufffe\uffff]")
"""What XML does not allow even when it is escaped, and `visible` leaves."""


def build(tag: str, *parts: Part, **attributes: object) -> Element:
    """The element with these parts in it; attributes that are None are left out.

    An underscore in the name of an attribute is a hyphen, and one at its end is dropped, as in `class_`. Characters
    that are not seen, or change how others are read, are written as their escapes.

    >>> from xml.etree.ElementTree import tostring
    >>> from featx.report.markup import build
    >>> tostring(build("td", "<b>", data_value=1.5, class_="number"), encoding="unicode")
    '<td data-value="1.5" class="number">&lt;b&gt;</td>'
    """
    given = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items() if value is not None}
    element = Element(tag, {name: _clean(str(value)) for name, value in given.items()})
    for part in parts:
        if isinstance(part, str):
            _append_text(element, _clean(part))
        elif part is not None:
            element.append(part)
    return element


def _append_text(element: Element, text: str) -> None:
    if len(element):
        element[-1].tail = (element[-1].tail or "") + text
    else:
        element.text = (element.text or "") + text


def _clean(text: str) -> str:
    return _NO_CHARACTERS.sub(lambda found: f"\\u{ord(found[0]):04x}", visible(text))
