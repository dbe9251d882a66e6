"""learned-image: CompressAI's bitstreams, of models with random weights, and a decoder that trusts no byte of them."""

import pytest
import torch
from torch import nn

from splitbench.bench.metrics.macs import count_macs
from splitbench.bench.utils.plugins import METHODS
from splitbench.methods.base import BitstreamError, Context, MethodError, TensorSpec

pytest.importorskip("compressai", reason="CompressAI is not installed here")

METHOD = METHODS.get("learned-image")
MODELS = METHOD.Settings.model_fields["model"].annotation.__args__


def pictures(height=37, width=70, images=2):
    smooth = torch.randint(0, 256, (images, 3, 5, 6), generator=torch.Generator().manual_seed(0)).float()
    return nn.functional.interpolate(smooth, (height, width), mode="bilinear").to(torch.uint8)


def deployed(cut, **settings):
    specs = (TensorSpec(tuple(cut.shape[1:]), cut.dtype),)
    checked = METHOD.Settings.model_validate({"quality": 1, "weights": "none"} | settings)
    return METHOD.deploy(checked, Context(nn.Identity(), nn.Identity(), specs)), specs


def compressai(model, picture, height, width):
    """What CompressAI itself makes of a picture that is padded to ``height`` and ``width``."""
    padding = (0, width - picture.shape[2], 0, height - picture.shape[1])
    x = nn.functional.pad(picture[None].float() / 255, padding, mode="replicate")
    with torch.no_grad():
        coded = model.compress(x)
        return coded["strings"], model.decompress(coded["strings"], coded["shape"])["x_hat"]


@pytest.mark.parametrize("name", MODELS)
def test_decodes_compressais_streams_as_compressai_does(name):
    cut = pictures()
    deployment, specs = deployed(cut, model=name)
    streams = deployment.codec.encode((cut,))
    (decoded,) = deployment.codec.decode([stream.data for stream in streams], specs)
    side = deployment.codec.model.stride
    for picture, stream, mine in zip(cut, streams, decoded, strict=True):
        strings, theirs = compressai(
            deployment.codec.model.model, picture, -(-37 // side) * side, -(-70 // side) * side
        )
        y, *z = (string[0] for string in strings)
        if z:
            assert stream.data == len(z[0]).to_bytes(4, "little") + z[0] + y
            assert (stream.side, stream.framing) == (len(z[0]), 4)
        else:
            assert (stream.data, stream.side, stream.framing) == (y, 0, 0)
        assert torch.equal(mine, (theirs[0, :, :37, :70] * 255).round().to(torch.uint8))


def test_each_side_stores_its_networks_and_both_what_symbols_are_coded_by():
    cut = pictures()
    deployment, specs = deployed(cut, model="mbt2018")
    device, server = ({name.partition(".")[0] for name in side} for side in deployment.codec.model.sides())
    shared = {"h_s", "entropy_bottleneck", "gaussian_conditional", "entropy_parameters", "context_prediction"}
    assert device == shared | {"g_a", "h_a"} and server == shared | {"g_s"}
    assert not any("matrices" in name for name in deployment.device_tables)
    model = deployment.codec.model.model
    x = torch.zeros(1, 3, 64, 128)
    y = model.g_a(x)
    networks = count_macs(model.g_a, x) + count_macs(model.h_a, y) + count_macs(model.h_s, model.h_a(y))
    stream = deployment.codec.encode((cut[:1],))[0].data
    assert count_macs(deployment.codec.encode, (cut[:1],)) > networks  # and what predicts each place from those around
    assert count_macs(deployment.codec.decode, [stream], specs) > count_macs(model.g_s, y)


@pytest.mark.parametrize("name", ["bmshj2018-factorized", "mbt2018-mean", "mbt2018"])
def test_streams_cut_short_or_lengthened_are_refused(name):
    cut = pictures(images=1)
    deployment, specs = deployed(cut, model=name)
    data = deployment.codec.encode((cut,))[0].data
    for damaged in (*(data[:length] for length in range(0, len(data), 5)), data + bytes(4), data + b"\xff" * 400):
        with pytest.raises(BitstreamError):
            deployment.codec.decode([damaged], specs)


def test_weights_from_a_file(tmp_path):
    cut = pictures()
    deployment, _ = deployed(cut, model="mbt2018-mean")
    want = [stream.data for stream in deployment.codec.encode((cut,))]
    from compressai.zoo import mbt2018_mean

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = mbt2018_mean(1)
    model.update()
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, tmp_path / "trained.pth.tar")
    other, _ = deployed(cut, model="mbt2018-mean", weights=str(tmp_path / "trained.pth.tar"))
    assert [stream.data for stream in other.codec.encode((cut,))] == want


def test_weights_of_something_else_are_refused(tmp_path):
    cut = pictures()
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(MethodError, match=r"linear\.pt@.* has no weights of mbt2018: "):
        deployed(cut, model="mbt2018", weights=str(tmp_path / "linear.pt"))
    torch.save(nn.Linear(2, 2), tmp_path / "code.pt")
    with pytest.raises(MethodError, match=r"code\.pt is no file of weights: "):
        deployed(cut, model="mbt2018", weights=str(tmp_path / "code.pt"))


def test_tables_that_would_be_read_amiss_are_refused(tmp_path):
    from compressai.zoo import bmshj2018_factorized

    model = bmshj2018_factorized(1)
    model.update()
    state = model.state_dict()
    state["entropy_bottleneck._cdf_length"] = state["entropy_bottleneck._cdf_length"] * 1000
    torch.save(state, tmp_path / "spoilt.pt")
    with pytest.raises(MethodError, match="does not rise from 0 to"):
        deployed(pictures(), model="bmshj2018-factorized", weights=str(tmp_path / "spoilt.pt"))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    from compressai.zoo import bmshj2018_factorized

    state = bmshj2018_factorized(1).state_dict()
    state["g_a.0.bias"][0] = torch.nan
    torch.save(state, tmp_path / "spoilt.pt")
    with pytest.raises(MethodError, match="some are not finite"):
        deployed(pictures(), model="bmshj2018-factorized", weights=str(tmp_path / "spoilt.pt"))


def test_where_the_published_weights_cannot_be_had(monkeypatch):
    def unreachable(url, **options):
        assert options["weights_only"]
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    with pytest.raises(MethodError, match=r"cheng2020-anchor-2-.*\(no route to host\): put it into .*checkpoints, or"):
        deployed(pictures(), model="cheng2020-anchor", quality=2, weights="hub")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "cheng2020-attn", "quality": 7}, "1 to 6 for cheng2020-attn"),
        ({"weights": "none", "metric": "ms-ssim"}, "leave it out"),
        ({"weights": "nowhere.pt"}, "no such file: nowhere.pt"),
    ],
)
def test_settings_that_fit_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        METHOD.Settings.model_validate({"quality": 1} | settings)


def test_without_compressai_a_sentence_says_what_to_do(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "compressai", None)
    with pytest.raises(ValueError, match=r"for Python 3\.11 and 3\.12"):
        METHOD.Settings(quality=1)
