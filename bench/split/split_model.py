"""The result of a split: two modules, and a typed description of what crosses between them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from splitbench.bench.utils.precision import autocasting, to_float32
from splitbench.methods.base import Cut, Specs, TensorSpec


@dataclass(frozen=True, kw_only=True)
class SplitModel:
    """A model cut in two at one split point: ``tail(*head(x))`` equals ``model(x)`` bit for bit.

    Both sides use the model's modules and parameters, not copies. ``head(x)`` returns a tuple: first the cut's
    tensors, one per spec, then the integers (sizes) that the tail needs to know of the input.

    Attributes:
        head: Runs on the device.
        tail: Runs on the server.
        at: The split point.
        specs: The tensors of an example's cut, for one image.
        how: ``fx`` for a traced graph, ``module`` for a traced graph in which modules that refuse to be traced are kept
            whole, empty where nothing was traced (``input`` and ``output``).
        sends_sizes: Images differ in size, and the tail needs the height and width of each one.
        image_by_image: Tensors differ in size even within a batch, so that each image is a separate cut.
        half_precision: Was split under autocast: codecs get float32, and the tail what the head computed in.
        image: Shape (3, H, W) of the example as the head's layers take it, preprocessed; None where the split
            point is not inside the network.
    """

    head: nn.Module
    tail: nn.Module
    at: str
    specs: Specs
    how: str = ""
    sends_sizes: bool = False
    image_by_image: bool = False
    half_precision: bool = False
    image: tuple[int, ...] | None = None

    @classmethod
    def from_example(
        cls,
        head: nn.Module,
        tail: nn.Module,
        values: tuple[Any, ...],
        *,
        at: str,
        roles: Sequence[str],
        how: str = "",
        sends_sizes: bool = False,
        image_by_image: bool = False,
        image: tuple[int, ...] | None = None,
    ) -> "SplitModel":
        """Describe a split by ``values``, what its head returned for an example.

        ``roles`` names what each tensor of the cut is in the network; the other arguments are the attributes.
        """
        half_precision = autocasting()
        cut = values[: len(roles)]
        return cls(
            head=head,
            tail=tail,
            at=at,
            specs=specs_of(to_float32(cut) if half_precision else cut, roles, sends_sizes),
            how=how,
            sends_sizes=sends_sizes,
            image_by_image=image_by_image,
            half_precision=half_precision,
            image=image,
        )

    @property
    def sides(self) -> tuple[nn.Module, nn.Module]:
        """The head and the tail."""
        return self.head, self.tail

    @property
    def roles(self) -> tuple[str, ...]:
        """What each tensor of the cut is in the network."""
        return tuple(spec.role for spec in self.specs)

    def cut(self, values: tuple[Any, ...]) -> tuple[Cut, tuple[Any, ...]]:
        """Divide what the head returned into the cut, as codecs get it, and the integers."""
        count = len(self.specs)
        return self._for_codec(values[:count]), values[count:]

    def cuts(self, values: tuple[Any, ...]) -> tuple[list[Cut], tuple[Any, ...]]:
        """Like :meth:`cut`; a list, since each image may be a separate cut."""
        groups, numbers = self.tensor_groups(values)
        return [self._for_codec(group) for group in groups], numbers

    def tensor_groups(self, values: tuple[Any, ...]) -> tuple[list[Sequence[Tensor]], tuple[Any, ...]]:
        """Divide what the head returned into each cut's tensors, as they are, and the integers."""
        count = len(self.specs)
        if not self.image_by_image:
            return [values[:count]], values[count:]
        tensors = [x for x in values if isinstance(x, Tensor)]
        return [tensors[i : i + count] for i in range(0, len(tensors), count)], values[len(tensors) :]

    def _for_codec(self, tensors: Sequence[Tensor]) -> Cut:
        """Return float32 copies: a codec that writes into its cut must not change what others are given."""
        converted = to_float32(tuple(tensors)) if self.half_precision else tensors
        return tuple(x.clone() if x is original else x for x, original in zip(converted, tensors, strict=True))

    def specs_of(self, cut: Cut) -> Specs:
        """Return what both sides know of a cut: it follows from the network and the size of the image."""
        return specs_of(cut, self.roles, self.sends_sizes)


def specs_of(cut: Cut, roles: Sequence[str], sends_sizes: bool = False) -> Specs:
    """Return the specs of a cut's tensors (B, ...). Where images differ in size, maps have their channels first."""
    return tuple(
        TensorSpec(tuple(x.shape[1:]), x.dtype, role, 0 if sends_sizes and x.dim() == 4 else None)
        for x, role in zip(cut, roles, strict=True)
    )
