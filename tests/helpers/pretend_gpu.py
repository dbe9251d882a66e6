"""A GPU for machines without one: tensors that say they are on ``cuda`` and compute on the CPU.

As on a GPU, an operation that is given tensors of both kinds raises, and so do one that CUDA has no kernel for (by
``cuda_support``) and reading a tensor's memory from the host. What goes from one to the other is counted, and so is
what the host waits for. So a test can run the code that a GPU would run, with real values, and see what leaves the
device. How fast it is, and what CUDA's own kernels round to, only a GPU shows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

from tests.helpers import cuda_support

CUDA = torch.device("cuda", 0)
CPU = torch.device("cpu")
aten = torch.ops.aten

_MOVES = (aten._to_copy.default, aten.copy_.default)
_INDICES_FROM_HOST = (aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default)
"""What PyTorch lets a GPU tensor be indexed with: CPU tensors, too."""

_NUMBERS = (aten._local_scalar_dense.default, aten.equal.default, aten.is_nonzero.default)
_SIZES = (aten.nonzero.default, aten.masked_select.default, aten._unique2.default, aten.repeat_interleave.Tensor)
"""What they give has a size that only the device knows."""

_DIVISIONS = {aten.div.Tensor: aten.mul.Tensor, aten.div_.Tensor: aten.mul_.Tensor, aten.div.Scalar: aten.mul.Scalar}


@dataclass
class Traffic:
    """What the host waits for.

    Attributes:
        copies: Tensors copied to the host.
        bytes: Theirs.
        numbers: Single numbers read, and sizes: how many elements a mask chooses, say.
        slow: Tensors copied to the device from memory that is not pinned, or not with ``non_blocking``.
    """

    copies: int = 0
    bytes: int = 0
    numbers: int = 0
    slow: int = 0


_traffic = Traffic()
_reciprocals = False


class Pretended(torch.Tensor):
    """``held`` is the CPU tensor that it stands for."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device="meta",  # PyTorch itself asks no driver about this one, and only Python code sees it
            requires_grad=held.requires_grad,
        )

    def __init__(self, held):
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def __repr__(self, *, tensor_contents=None):
        return f"Pretended({self.held})"

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = is_meta = property(lambda self: False)

    def tolist(self):
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[override]
        return _call(func, args, kwargs or {})


def _call(func, args, kwargs):
    leaves = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    inside = any(isinstance(x, Pretended) for x in leaves)
    asked = kwargs.get("device")
    target = torch.device(asked) if asked is not None else None
    if inside and any(x.is_meta for x in leaves):  # PyTorch made it where it thinks that the wrapper's values are
        raise RuntimeError(f"{func}: a tensor without values meets one of the pretended GPU's: that would give garbage")
    indices = tree_leaves(args[1]) if func in _INDICES_FROM_HOST else []
    if inside:
        masks = [x for x in indices if isinstance(x, Pretended) and x.dtype == torch.bool]
        _traffic.numbers += len(masks) + (func in _NUMBERS or func in _SIZES)
    if inside and func not in _MOVES:
        for x in leaves:
            if not isinstance(x, Pretended) and x.dim() > 0 and not any(x is index for index in indices):
                raise RuntimeError(f"{func}: expected all tensors to be on the same device, but found cuda:0 and cpu")
    why = cuda_support.refusal(func.name(), {x.dtype for x in leaves if isinstance(x, Pretended)})
    if why is not None and (inside or (target is not None and target.type != "cpu")):
        raise NotImplementedError(why)
    if _reciprocals and inside and func in _DIVISIONS and not isinstance(args[1], Pretended):
        # CUDA multiplies by the reciprocal of a number that is not on the device: the last bit may differ.
        func, args = _DIVISIONS[func], (args[0], (1 / torch.as_tensor(args[1], dtype=torch.float32)).item())
    plain = {**kwargs, "device": CPU} if asked is not None else kwargs
    out = func(*tree_map_only(Pretended, lambda x: x.held, args), **tree_map_only(Pretended, lambda x: x.held, plain))
    if func is aten.copy_.default:
        if isinstance(args[1], Pretended) and not isinstance(args[0], Pretended):
            _leaves(args[1])
        elif isinstance(args[0], Pretended) and not isinstance(args[1], Pretended):
            _arrives(args[1], args[2:] == (True,) or kwargs.get("non_blocking", False))
        return args[0]
    present = target.type != "cpu" if target is not None else inside
    if func is aten._to_copy.default and inside and not present:
        _leaves(args[0])
    if func is aten._to_copy.default and present and not inside:
        _arrives(args[0], kwargs.get("non_blocking", False))
    if not present:
        return out
    wrapped = tree_map_only(torch.Tensor, Pretended, out)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if inside else wrapped


def _leaves(x):
    _traffic.copies += 1
    _traffic.bytes += x.nbytes


def _arrives(x, non_blocking):
    _traffic.slow += not (non_blocking and getattr(x, "pinned", False))


class _Factories(TorchDispatchMode):
    """Makes tensors on the pretended device where they are asked for there, and moves others to it."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Tensors of Python's numbers, and pinned ones: PyTorch would ask the driver, or the wrapper's own device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            return func(*args, **{**kwargs, "device": CPU}).to(kwargs["device"])
        if func is torch.Tensor.pin_memory:
            pinned = args[0].clone()
            pinned.pinned = True
            return pinned
        if args and isinstance(args[0], Pretended):
            if func is torch.Tensor.new_tensor:
                about = {"dtype": args[0].dtype, "device": CUDA} | kwargs
                return torch.tensor(args[1], **{**about, "device": CPU}).to(about["device"])
            if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
                index = args[1] if isinstance(args[1], tuple) else (args[1],)
                index = tuple(torch.tensor(i) if isinstance(i, list) else i for i in index)
                values = (torch.tensor(x, dtype=args[0].dtype) if isinstance(x, int | float) else x for x in args[2:])
                args = (args[0], index, *values)
        return func(*args, **kwargs)


@contextmanager
def pretended(reciprocals: bool = False) -> Iterator[Traffic]:
    """``cuda`` is there, in this thread; what leaves it is counted anew."""
    global _traffic, _reciprocals
    _traffic, _reciprocals = Traffic(), reciprocals
    cuda_support.known()  # before PyTorch's tests, too, think that there is a GPU
    with (
        mock.patch.object(torch.cuda, "_lazy_init", lambda: None),
        mock.patch.object(torch.cuda, "is_available", lambda: True),
        mock.patch.object(torch.cuda, "device_count", lambda: 1),
        mock.patch.object(torch.cuda, "get_device_name", lambda *_: "a pretended GPU"),
        mock.patch.object(torch.cuda, "empty_cache", lambda: None),
        mock.patch.object(torch.cuda, "synchronize", lambda *_: None),
        mock.patch.object(torch.cuda, "get_rng_state", lambda *_: torch.get_rng_state()),
        mock.patch.object(torch.cuda, "set_rng_state", lambda *_: None),
        mock.patch.object(torch.cuda, "is_current_stream_capturing", lambda: False),
        mock.patch.object(torch.accelerator, "current_accelerator", lambda **_: None),
        torch.backends.cudnn.flags(enabled=False),
        _Factories(),
        _Literals(),
    ):
        yield _traffic
