"""Another network in the place of a head's layers: preprocessing, and what is sent of images' sizes, stay."""

from typing import Any

from torch import Tensor, nn

from splitbench.bench.split.graphs import HeadGraph
from splitbench.bench.split.split_model import SplitModel
from splitbench.bench.split.trunk import graph_of, replaced
from splitbench.methods.base import MethodError, NewHead


def new_sides(split: SplitModel, new: NewHead, tail: nn.Module) -> tuple[nn.Module, nn.Module]:
    """Return the head that runs a new encoder in the place of the backbone's layers, and the tail behind its decoder.

    Args:
        split: The backbone's split; its layers are left as they are.
        new: Encoder and decoder, which are used and not copied.
        tail: Runs on what the decoder gives: the backbone's, or a copy of it.

    Raises:
        MethodError: The split point is not inside the network, or other than one tensor crosses there.
    """
    graph = graph_of(split.head)
    if split.image is None or graph is None:
        raise MethodError(f"a new head replaces layers in front of a split inside the network, which {split.at} is not")
    if _outputs(graph) != 1:
        raise MethodError(f"{_outputs(graph)} tensors and sizes cross at {split.at}: a new head needs a single tensor")
    return replaced(split.head, graph, _Encoding(new.encoder)), _DecodingTail(new.decoder, tail)


def _outputs(graph: HeadGraph) -> int:
    (outputs,) = graph.graph.output_node().args
    return len(outputs) if isinstance(outputs, tuple | list) else 1


class _Encoding(nn.Module):
    """Stands for a head's graph, which returns a tuple."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.training = encoder.training

    def forward(self, image: Tensor) -> tuple[Tensor]:
        """Images (B, 3, H, W), preprocessed, to what crosses."""
        return (self.encoder(image),)


class _DecodingTail(nn.Module):
    """A tail that begins with a decoder of what a new head sent."""

    def __init__(self, decoder: nn.Module, tail: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder
        self.tail = tail

    def forward(self, sent: Tensor, *sizes: Any) -> Any:
        """What crossed, and sizes of the images, to the tail's answers."""
        return self.tail(self.decoder(sent), *sizes)
