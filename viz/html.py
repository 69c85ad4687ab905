"""Small pieces of HTML; every text that goes in is escaped."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["Raw", "data_table", "image", "items", "nested", "paragraph", "section", "table", "text"]


class Raw(str):
    """HTML that was made here and is put in as it is."""

    __slots__ = ()


def text(value: object) -> Raw:
    """`value` as text in HTML.

    >>> text("a < b & 'c'")
    'a &lt; b &amp; &#x27;c&#x27;'
    """
    return value if isinstance(value, Raw) else Raw(html.escape(str(value), quote=True))


def paragraph(*parts: object, kind: str = "") -> Raw:
    """A paragraph of the parts, joined by spaces."""
    attribute = f' class="{html.escape(kind, quote=True)}"' if kind else ""
    return Raw(f"<p{attribute}>{' '.join(text(part) for part in parts)}</p>")


def items(entries: Iterable[object]) -> Raw:
    """A list with bullets; nothing where there are no entries.

    >>> items(["one", "two"])
    '<ul><li>one</li><li>two</li></ul>'
    """
    inner = "".join(f"<li>{text(entry)}</li>" for entry in entries)
    return Raw(f"<ul>{inner}</ul>" if inner else "")


def section(anchor: str, title: str, *parts: Raw) -> Raw:
    """A section with a heading that the contents can lead to."""
    name = html.escape(anchor, quote=True)
    return Raw(f'<section id="{name}"><h2>{text(title)}</h2>\n' + "\n".join(parts) + "</section>")


def table(
    heads: Sequence[object], rows: Iterable[Sequence[object]], *, caption: str = "", kind: str = ""
) -> Raw:
    """A table; the first cell of each row heads it.

    >>> table(["arm", "ml"], [["a", 1]])
    '<div class="wide"><table><thead><tr><th scope="col">arm</th>...</table></div>'
    """
    head = "".join(f'<th scope="col">{text(cell)}</th>' for cell in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{text(cell)}</th>' if number == 0 else f"<td>{text(cell)}</td>"
            for number, cell in enumerate(row)
        )
        + "</tr>\n"
        for row in rows
    )
    title = f"<caption>{text(caption)}</caption>" if caption else ""
    attribute = f' class="{html.escape(kind, quote=True)}"' if kind else ""
    return Raw(
        f'<div class="wide"><table{attribute}>{title}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def data_table(values: Mapping[str, object], *, caption: str = "") -> Raw:
    """Two columns: what, and its value."""
    return table(
        ["", ""], [[key, value] for key, value in values.items()], caption=caption, kind="pairs"
    )


def image(content: bytes, alternative: str, caption: str = "") -> Raw:
    """A PNG inside the page itself, so that the page needs no other file."""
    encoded = base64.b64encode(content).decode("ascii")
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Raw(
        f'<figure><img alt="{html.escape(alternative, quote=True)}" '
        f'src="data:image/png;base64,{encoded}">{below}</figure>'
    )


def nested(value: Any) -> Raw:
    """Plain data as tables, lists and text, however deep it goes.

    >>> nested({"runs": 40})
    '<div class="wide"><table class="pairs">...runs...40...</table></div>'
    """
    if isinstance(value, Mapping):
        return data_table({_words(key): nested(inner) for key, inner in value.items()})
    if isinstance(value, list | tuple):
        if value and all(isinstance(entry, Mapping) for entry in value):
            heads = list(dict.fromkeys(key for entry in value for key in entry))
            rows = [[nested(entry.get(key, "")) for key in heads] for entry in value]
            return table([_words(head) for head in heads], rows)
        if all(not isinstance(entry, Mapping | list | tuple) for entry in value) and len(value) < 9:
            return Raw(", ".join(nested(entry) for entry in value))
        return items(nested(entry) for entry in value)
    if isinstance(value, bool):
        return Raw("yes" if value else "no")
    if isinstance(value, float):
        return text(f"{value:.4g}")
    return text("" if value is None else value)


def _words(key: object) -> str:
    return str(key).replace("_", " ")
