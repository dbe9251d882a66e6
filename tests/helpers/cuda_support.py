"""What CUDA can compute, by PyTorch's own tables, which need no GPU to be read.

A test on a pretended GPU computes on the CPU, whose operators take kinds of number that CUDA's do not (a product of
matrices of integers, say). PyTorch's build for CUDA knows its kernels, and its own tests their kinds of number.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache

import torch

_COMPOSITE = ("CompositeExplicitAutograd", "CompositeImplicitAutograd", "CompositeExplicitAutogradNonFunctional")


def refusal(name: str, dtypes: Iterable[torch.dtype]) -> str | None:
    """Why CUDA has no operator ``name`` (``aten::mm``) for tensors of ``dtypes``; None where it has one.

    An operator that PyTorch's tables do not name is looked up among the kernels only, and without a build for CUDA (the
    CPU's wheels) the kernels are not known.
    """
    if torch.version.cuda is not None and not _has_kernel(name):
        return f"{name} has no kernel for CUDA"
    operator = name.partition("::")[2].partition(".")[0]
    tables = known()
    spelt = next((x for x in (operator, operator.rstrip("_"), operator.strip("_")) if x in tables), None)
    missing = [] if spelt is None else [str(x) for x in dtypes if x not in tables[spelt]]
    return f"{name} is not implemented for {', '.join(missing)} on CUDA" if missing else None


@cache
def _has_kernel(name: str) -> bool:
    return any(torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in ("CUDA", *_COMPOSITE))


@cache
def known() -> Mapping[str, frozenset[torch.dtype]]:
    """Kinds of number that each operator takes on CUDA, as ``torch.testing`` lists them for PyTorch's own tests."""
    from torch.testing._internal.common_methods_invocations import op_db  # takes seconds

    tables: defaultdict[str, set[torch.dtype]] = defaultdict(set)
    for operator in op_db:
        for name in {operator.name, operator.aten_name}:
            tables[name] |= set(operator.dtypesIfCUDA)
    return {name: frozenset(kinds) for name, kinds in tables.items()}
