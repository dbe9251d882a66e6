"""Numbers with units, formatted for messages."""


def format_count(count: int, noun: str) -> str:
    """Format a count with its noun.

    >>> [format_count(number, "pass") for number in (0, 1, 2)], format_count(1, "cell")
    (['0 passes', '1 pass', '2 passes'], '1 cell')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def format_macs(count: float) -> str:
    """Format a number of multiply-adds.

    >>> [format_macs(count) for count in (1.234e9, 45.6e6)]
    ['1.23 GMAC', '45.6 MMAC']
    """
    return f"{count / 1e9:.3g} GMAC" if count >= 1e9 else f"{count / 1e6:.3g} MMAC"


def format_duration(seconds: float) -> str:
    """Format a time in seconds, minutes or hours, whichever fits its size.

    >>> [format_duration(time) for time in (0.5, 119, 120, 7200)]
    ['0.5 s', '119.0 s', '2.0 min', '2.0 h']
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def format_rough_duration(seconds: float) -> str:
    """Format a time that is an estimate: in seconds, minutes, or hours and minutes.

    >>> [format_rough_duration(time) for time in (0.4, 59, 95, 3599, 8000)]
    ['1 s', '59 s', '2 min', '1 h 0 min', '2 h 13 min']
    """
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
