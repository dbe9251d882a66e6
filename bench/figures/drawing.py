"""The settings that all figures are drawn under, whatever the user's matplotlibrc says."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl

from splitbench.bench.figures.style import RC


@contextmanager
def drawing() -> Iterator[None]:
    """Within, matplotlib has its own defaults and :data:`splitbench.bench.figures.style.RC`; after, the user's."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for name, value in RC.items():
            mpl.rcParams[name] = value
        yield
