"""Head and tail as modules: trained, moved, cast, copied and compiled."""

import copy

import torch
from torch.nn import functional as F

from splitbench.bench.split import same, split
from splitbench.bench.split.trunk import depth
from tests.helpers.split_networks import IMAGES, Tokens, resnet


def test_both_sides_train_as_the_model_does():
    model, twin = resnet().train(), resnet().train()
    head, tail = split(model, "layer2.0.conv1", IMAGES).sides
    twin.load_state_dict(model.state_dict())
    for whole, forward in ((model, lambda x: tail(*head(x))), (twin, twin)):
        optimizer = torch.optim.SGD(whole.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(forward(IMAGES), torch.tensor([1, 2])).backward()
            optimizer.step()
    for (name, a), b in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert int(model.bn1.num_batches_tracked) == 2


def test_gradients_reach_a_unit_between_head_and_tail():
    head, tail = split(resnet().eval(), "layer2", IMAGES).sides
    cut = [t.detach().requires_grad_() for t in head(IMAGES)]
    tail(*cut).sum().backward()
    assert all(t.grad is not None for t in cut)


def test_splitting_changes_neither_modes_nor_attributes():
    model = resnet().train()
    model.layer1.eval()
    modes = [m.training for m in model.modules()]
    attributes = set(model.__dict__)
    split(model, "layer2", IMAGES)
    split(Tokens(), "embed", IMAGES)
    assert [m.training for m in model.modules()] == modes
    assert set(model.__dict__) == attributes
    assert int(model.bn1.num_batches_tracked) == 0


def test_both_sides_are_cast_copied_and_compiled():
    model = resnet().eval()
    parts = split(model, "layer2.0.conv1", IMAGES)
    expected = model(IMAGES)
    compiled = [torch.compile(side, backend="eager") for side in parts.sides]
    assert same(compiled[1](*compiled[0](IMAGES)), expected)
    assert len(parts.specs) == 2
    copied = copy.deepcopy(parts)
    assert (copied.specs, depth(copied.head)) == (parts.specs, depth(parts.head))
    assert depth(copied.head) > 0  # a copy is still known as a head's graph
    for side in copied.sides:
        side.double()
    assert same(copied.tail(*copied.head(IMAGES.double())), copy.deepcopy(model).double()(IMAGES.double()))
    assert next(model.parameters()).dtype == torch.float32


def test_devices_and_precisions_are_asked_of_what_was_sent():
    model = Tokens().eval()
    head, tail = split(model, "embed", IMAGES).sides
    for side in (head, tail):
        side.to("meta")
    assert tail(*head(IMAGES.to("meta"))).device.type == "meta"


# -- detectors -------------------------------------------------------------------------------------------------------
