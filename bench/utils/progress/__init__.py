"""How far work is: bars for one loop, and one display for a whole run.

stage_reports.py  what a loop says of itself, and a run's pieces of work: nothing here knows how it looks
bars.py           one bar for one loop, as tools draw it
run_progress.py   all pieces of a run: the fraction that is done, the time left
display.py        draws a run's progress: a line in place on a terminal or in a notebook, a line now and then elsewhere
relay.py          brings the reports of other processes to the one that draws, by files in the run's folder
"""

from splitbench.bench.utils.progress.bars import are_hidden, bar, hidden, silent, track
from splitbench.bench.utils.progress.display import beside, displayed
from splitbench.bench.utils.progress.run_progress import Piece, RunProgress
from splitbench.bench.utils.progress.stage_reports import Report, Show, Stage, Stages

__all__ = [
    "Piece",
    "Report",
    "RunProgress",
    "Show",
    "Stage",
    "Stages",
    "are_hidden",
    "bar",
    "beside",
    "displayed",
    "hidden",
    "silent",
    "track",
]
