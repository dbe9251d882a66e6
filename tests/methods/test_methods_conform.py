"""One test for every method that is there: what the harness relies on, over all settings with named choices."""

import pytest

from splitbench.bench.tools import conformance
from splitbench.bench.tools.conformance.samples import Case
from splitbench.bench.utils.plugins import METHODS
from tests.helpers.method_samples import cases


@pytest.mark.parametrize(("name", "chosen", "rates"), list(cases()))
def test_conforms(name, chosen, rates):
    conformance.check(METHODS.get(name), Case(chosen, rates))


@pytest.mark.parametrize("name", METHODS.names())
def test_says_what_it_is(name):
    conformance.check_description(METHODS.get(name))
