"""A first sweep for a user's folder and backbone, made after looking at both: ``init`` writes it, ``bench`` runs it."""

from splitbench.bench.tools.first_sweep.proposal import Proposal, propose
from splitbench.bench.tools.first_sweep.sweep_text import (
    check_free,
    check_same,
    default_folder,
    summary,
    sweep_text,
    write_sweep,
)

__all__ = ["Proposal", "check_free", "check_same", "default_folder", "propose", "summary", "sweep_text", "write_sweep"]
