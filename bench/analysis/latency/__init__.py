"""End-to-end latency of every rate point, and which is best at which link speed, as measured or on other devices."""

from splitbench.bench.analysis.latency.device_profile import PROFILES, Profile, read_profile
from splitbench.bench.analysis.latency.question import Answer, Question, answer
from splitbench.bench.analysis.latency.what_if import what_if

__all__ = ["PROFILES", "Answer", "Profile", "Question", "answer", "read_profile", "what_if"]
