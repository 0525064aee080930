"""What people see: colours and tables on a terminal, plain text elsewhere.

Rule of this file: what is shown may be anybody's text. It is never read as markup, and has no control characters left,
with which a token could write over what is said about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


_WIDE = 160
"""Columns where nobody says how many there are."""


class CommandError(Exception):
    """Say in one line why a command cannot be carried out."""


def harmless(text: str) -> str:
    """Return a text with everything escaped that a terminal would not simply print."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def console(out: TextIO) -> Console:
    """Return the console for a stream; raises :class:`CommandError` without the package ``rich``.

    Off a terminal, and with ``NO_COLOR``, there are no colours.
    """
    try:
        from rich.console import Console  # late: an extra, and not needed by machines
    except ImportError as error:
        raise CommandError("this needs the package rich: pip install 'obo-middleware[cli]'") from error
    # Markup and emoji codes are for texts of our own, and we use none.
    width = None if out.isatty() else _WIDE
    return Console(file=out, width=width, markup=False, emoji=False, highlight=False, soft_wrap=True)


def styled(text: str, style: str = "") -> Text:
    """Return a harmless text in a style of ``rich``."""
    from rich.text import Text

    return Text(harmless(text), style=style)
