"""torchvision builds its detectors otherwise for pretrained weights than without: so must be done for those of a file.

For them most detectors take norms whose statistics are fixed, ``FrozenBatchNorm2d``; and the weights of 2019 were
trained where nothing was added to the variance.
"""

from collections.abc import Collection

from torch import nn
from torchvision.ops.misc import FrozenBatchNorm2d

_WITHOUT_EPS = (
    *("fasterrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "keypointrcnn_resnet50_fpn", "retinanet_resnet50_fpn"),
)
"""The models of 2019; torchvision's ``overwrite_eps`` does the same for its own weights."""


def freeze(model: nn.Module, name: str, stored: Collection[str], own_classes: bool = False) -> None:
    """Give a detector of torchvision's, in place, the norms that weights of these names were made with.

    Norms without a count of batches are frozen ones. ``own_classes`` says that these are not torchvision's weights.
    """
    eps = 0.0 if name in _WITHOUT_EPS and not own_classes else None
    for place, module in list(model.named_modules()):
        norms = {key: child for key, child in module.named_children() if isinstance(child, nn.BatchNorm2d)}
        for key, norm in norms.items():
            at = f"{place}.{key}" if place else key
            if f"{at}.weight" in stored and f"{at}.num_batches_tracked" not in stored:
                setattr(module, key, FrozenBatchNorm2d(norm.num_features, norm.eps if eps is None else eps))
