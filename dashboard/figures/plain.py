"""Text that others wrote, made safe to put into Streamlit's markdown."""

from __future__ import annotations

import re

# Streamlit makes links of these after it has read the markdown, so no backslash helps: an unseen word joiner does.
_LINK = re.compile(r"(?i)(?<=http)(?=:)|(?<=https)(?=:)|(?<=www)(?=\.)|(?=@)")
_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:-])")


def plain(text: str) -> str:
    r"""Returns markdown that shows ``text`` as it is: no link, colour, formula or HTML in it comes alive.

    >>> plain("see http://127.0.0.1 :red[now]")
    'see http\u2060\\://127.0.0.1 \\:red\\[now\\]'
    """
    return _SPECIAL.sub(r"\\\1", _LINK.sub("\u2060", text))
