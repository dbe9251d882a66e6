"""What if the link were slower: end-to-end latency of every rate point, and which is best at which link speed.

``run.py`` reads runs and writes the answer; all else here is without files and figures, which import from it.
"""

from splitbench.bench.analysis.latency.profile import Profile, read_profile
from splitbench.bench.analysis.latency.question import Found, Question, answered

__all__ = ["Found", "Profile", "Question", "answered", "read_profile"]
