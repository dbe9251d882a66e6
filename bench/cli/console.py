"""Output to terminals and files that are not UTF-8: what they cannot show is spelled in ASCII, and never an error."""

import codecs
import io
import sys

_HANDLER = "splitbench-plain"
_PLAIN = {
    **dict.fromkeys("\u2010\u2013\u2014\u2212─━═", "-"),
    **dict.fromkeys("│┃║", "|"),
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+"),
    **dict.fromkeys("\u2018\u2019", "'"),
    **dict.fromkeys("“”", '"'),
    "≤": "<=",
    "≥": ">=",
    "±": "+/-",
    "\u00d7": "x",
    "·": ".",
    "•": "*",
    "…": "...",
    "→": "->",
    "←": "<-",
    "\u00a0": " ",
}
"""How letters of our own texts, of typer's help and of tqdm's bars are spelled."""


def tolerate_any_encoding() -> None:
    """Let standard output and standard error take any text, whatever their encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _spell_plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Spell the letters that an encoding lacks in ASCII, and bytes of a file's name that are not text as they are."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":  # as Python escapes a byte of a name
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return _PLAIN.get(letter) or letter.encode("ascii", "backslashreplace").decode("ascii"), error.start + 1


codecs.register_error(_HANDLER, _spell_plainly)
