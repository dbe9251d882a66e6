"""One test for every method that is there: what the harness relies on, over all settings with named choices."""

import pytest
from pydantic import ValidationError

from splitbench.bench.tools import conformance
from splitbench.bench.tools.conformance.samples import Case
from splitbench.bench.utils.plugins import METHODS
from tests.helpers.method_samples import cases


@pytest.mark.parametrize(("name", "chosen", "rates"), list(cases()))
def test_conforms(name, chosen, rates):
    conformance.check(METHODS.get(name), Case(chosen, rates))


@pytest.mark.parametrize("name", METHODS.names())
def test_says_what_it_is(name):
    method = METHODS.get(name)
    try:
        method.Settings.model_validate({method.knob: method.rates[0]})
    except ValidationError as error:
        if "needs CompressAI, which there is for Python 3.11 and 3.12" not in str(error):
            raise
        pytest.skip("CompressAI is not installed")
    conformance.check_description(method)
