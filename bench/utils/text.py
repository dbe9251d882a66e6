"""Counts and times as people write them."""


def counted(count: int, noun: str) -> str:
    """How many of something.

    >>> [counted(number, "pass") for number in (0, 1, 2)], counted(1, "cell")
    (['0 passes', '1 pass', '2 passes'], '1 cell')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def macs(count: float) -> str:
    """Multiply-adds.

    >>> [macs(count) for count in (1.234e9, 45.6e6)]
    ['1.23 GMAC', '45.6 MMAC']
    """
    return f"{count / 1e9:.3g} GMAC" if count >= 1e9 else f"{count / 1e6:.3g} MMAC"


def lasting(seconds: float) -> str:
    """A time in seconds, minutes or hours, by its size.

    >>> [lasting(time) for time in (0.5, 119, 120, 7200)]
    ['0.5 s', '119.0 s', '2.0 min', '2.0 h']
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
