"""Rate points of every method that is there, for the tests that run over all of them."""

import pytest

from splitbench.bench.tools.conformance import samples
from splitbench.bench.utils.plugins import METHODS

TRAINING = {"distortion", "start", "schedule", "precision", "weights"}
"""Settings of how units are trained."""


def offline(name):
    """The cases of a method that can be tried here: none where its package is missing, none with weights to load."""
    return [case for case in samples.cases(METHODS.get(name)) if case.chosen.get("weights") != "hub"]


def names_for(task):
    """The methods of a task that can be tried here."""
    return [name for name in METHODS.names() if task in METHODS.get(name).tasks and offline(name)]


def cases():
    for name in METHODS.names():
        for case in offline(name):
            yield pytest.param(name, case.chosen, case.rates, id=f"{name} {case}".strip())


def codecs():
    """All rate points that code otherwise than another: how a unit was trained is no matter here."""
    seen = set()
    for case in cases():
        name, chosen, _ = case.values
        coding = {setting: choice for setting, choice in chosen.items() if setting not in TRAINING}
        if (name, str(coding)) not in seen:
            seen.add((name, str(coding)))
            yield case


def deployed(name, chosen, rate, device="cpu"):
    """The rate point, cuts to try it on, and their specs; what a network gives is on ``device``."""
    sample = samples.deployed(METHODS.get(name), chosen, rate, device)
    return sample.deployment, sample.cut, sample.specs
