"""Taps in whole networks: attaching, profiles, evaluation, saved tensors, the examples."""

import copy
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import subband
from conftest import REPOSITORY

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import subband.torch as st  # noqa: E402

EXAMPLES = REPOSITORY / "examples" / "python"
sys.path.insert(0, str(EXAMPLES))
import resnet20  # noqa: E402


class Small(nn.Module):
    """One ReLU module called twice, another once."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.block = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU())
        self.linear = nn.Linear(6, 5)

    def forward(self, x):
        x = self.relu(self.second(self.relu(self.first(x))))
        return self.linear(self.block(x).mean((2, 3)))


def images(count=8, size=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.interpolate(torch.randn(count, 3, size // 3, size // 3, generator=generator), size=(size, size), mode="bilinear")


def small():
    torch.manual_seed(0)
    return Small().eval()


def test_attaching_to_every_relu():
    model = small()
    x = images()
    plain = model(x)
    taps = st.attach(model, example=x, step_scale=1e-4, levels=2)
    assert list(taps) == ["relu", "relu:1", "block.1"]
    assert taps.shapes == {"relu": (4, 12, 12), "relu:1": (4, 12, 12), "block.1": (6, 6, 6)}
    torch.testing.assert_close(model(x), plain, rtol=1e-3, atol=1e-3)
    for layer in st.layers(model):
        with torch.no_grad():
            layer.log_steps.fill_(3.0)
    assert not torch.allclose(model(x), plain)
    assert any(name.startswith("subband_taps.layers.relu:1.log_steps") for name in model.state_dict())
    assert st.detach(model) is taps
    assert torch.equal(model(x), plain) and not list(st.layers(model))
    assert not any("subband" in name for name in model.state_dict())
    with pytest.raises(subband.InvalidArgumentError, match="not attached"):
        st.detach(model)


def test_attaching_by_name_mapping_and_predicate():
    x = images()
    for taps, names in [
        (["block"], ["block"]),
        ("first", ["first"]),
        ({"stem": "relu", "second": "relu:1"}, ["stem", "second"]),
        (lambda name, module: isinstance(module, nn.Conv2d) and "." not in name, ["first", "second"]),
    ]:
        model = small()
        assert list(st.attach(model, taps, example=x, nonnegative=False)) == names


def test_what_cannot_be_attached():
    x = images()
    for taps, message in [
        (["nowhere"], "no module 'nowhere'"),
        ({"a": "relu:5"}, "no call of it was seen"),
        (["linear"], "a tap codes maps"),
        (lambda name, module: False, "no module was chosen"),
        ([], "taps is empty"),
    ]:
        model = small()
        with pytest.raises(subband.InvalidArgumentError, match=message):
            st.attach(model, taps, example=x)
        assert torch.equal(model(x), small()(x)), "a failed attempt leaves nothing"
    model = small()
    with pytest.raises(subband.InvalidArgumentError, match="example is missing"):
        st.attach(model)
    st.attach(model, example=x)
    with pytest.raises(subband.InvalidArgumentError, match="attached already"):
        st.attach(model, example=x)


def test_copies_states_and_compiling_of_an_attached_model():
    x = images()
    model = small()
    st.attach(model, example=x, step_scale=1.0)
    expected = model(x)
    again = copy.deepcopy(model)
    with torch.no_grad():
        next(st.layers(again)).log_steps.add_(1.0)
    assert torch.equal(model(x), expected) and not torch.equal(again(x), expected)
    other = small()
    st.attach(other, example=x, step_scale=0.1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), expected)
    st.detach(again)
    assert torch.equal(again(x), small()(x))
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)


def test_training_an_attached_model_lowers_the_rate():
    torch.manual_seed(0)
    x, labels = images(32), torch.arange(32) % 5
    model = small().train()
    st.attach(model, example=x, step_scale=0.3)
    optimizer = torch.optim.Adam(st.parameter_groups(model, codec_lr=3e-2), lr=1e-3)
    rates = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), labels)
        rate = st.rate(model)
        (loss + 0.5 * rate).backward()
        optimizer.step()
        rates.append(rate.item())
    assert rates[-1] < 0.8 * rates[0]


def test_profiles_hold_what_was_learned(tmp_path):
    x, labels = images(24), torch.arange(24) % 5
    loader = [(x[:12], labels[:12]), (x[12:], labels[12:])]
    model = small()
    taps = st.attach(model, example=x, step_scale=0.4, levels=2, per_channel=True)
    profile = st.export_profile(model, loader, tmp_path / "p.sbp", network="small")
    assert subband.Profile.load(tmp_path / "p.sbp") == profile
    assert [tap.name for tap in profile.taps] == list(taps)
    for tap in profile.taps:
        np.testing.assert_array_equal(tap.steps.astype(np.float32), taps[tap.name].steps().numpy())
    found = st.evaluate(model, loader, profile)
    # Layers in the loop give what packets give.
    with torch.no_grad():
        hits = sum(int((model(images).argmax(1) == labels).sum()) for images, labels in loader)
    assert found["top1"] == pytest.approx(100 * hits / 24) and found["images"] == 24
    assert found["values"] == 24 * sum(int(np.prod(tap.shape)) for tap in profile.taps)
    assert found["bytes"] == sum(tap["bytes"] for tap in found["per_tap"])
    # By the names of modules too, on a model without layers.
    st.detach(model)
    again = st.evaluate(model, loader, profile)
    assert {**again, "seconds": 0} == {**found, "seconds": 0}
    assert torch.equal(model(x), small()(x))
    found.save(tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == found
    assert "top-1" in str(found) and "relu:1" in str(found)
    # And back: a model attached with the profile.
    other = small()
    st.attach(other, profile=profile)
    assert st.evaluate(other, loader, profile)["bytes"] == found["bytes"]


def test_a_profile_that_does_not_fit():
    x, labels = images(), torch.arange(8) % 5
    model = small()
    st.attach(model, example=x)
    profile = st.export_profile(model, [x])
    with pytest.raises(subband.InvalidArgumentError, match="no labels"):
        st.evaluate(model, [x], profile)
    with pytest.raises(subband.InvalidArgumentError, match="no images"):
        st.evaluate(model, [], profile)
    with pytest.raises(subband.InvalidArgumentError, match="the profile has"):
        st.evaluate(model, [(images(size=24), labels)], profile)
    with pytest.raises(subband.InvalidArgumentError, match="no module 'relu'"):
        st.evaluate(nn.Sequential(nn.Flatten(), nn.Linear(432, 5)), [(x, labels)], profile)
    with pytest.raises(subband.InvalidArgumentError, match="leave out step"):
        st.attach(small(), profile=profile, step=1)
    with pytest.raises(subband.InvalidArgumentError, match="second time"):
        st.export_profile(model, iter([x]))
    model.first.weight.data.fill_(float("nan"))
    with pytest.raises(subband.NonFiniteError):
        st.evaluate(model, [(x, labels)], profile)


def test_resnet20_as_the_command_has_it():
    """The bundled network on the bundled images against the figures that the command prints of them (`subband demo`)."""
    pytest.importorskip("PIL", reason="needs Pillow")
    data, labels = resnet20.sample()
    model, path = resnet20.bundled()
    found = st.evaluate(model, resnet20.batches(data, labels), subband.Profile.load(path), self_contained=False)
    expected = json.loads((REPOSITORY / "python" / "tests" / "resnet20_sample.json").read_text())
    assert [tap["name"] for tap in found["per_tap"]] == resnet20.TAPS
    # Convolutions round differently, and an index at a boundary may fall to the other side.
    assert abs(found["top1"] - expected["top1"]) <= 0.4
    assert found["bits_per_value"] == pytest.approx(expected["bits_per_value"], rel=2e-4)
    assert found["zeros"] == pytest.approx(expected["zeros"], rel=1e-4)


def gradients_of(model, x, labels, context):
    model.zero_grad()
    with context as saved:
        loss = F.cross_entropy(model(x), labels)
    loss.backward()
    return loss.item(), torch.cat([p.grad.reshape(-1) for p in model.parameters()]), saved


def plain():
    import contextlib

    return contextlib.nullcontext()


def conv_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 3, padding=1),
        nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8 * 64, 5),
    )  # fmt: skip


def test_lossless_saved_tensors_give_the_same_gradients():
    model, x, labels = conv_net(), images(4, 33)[..., :32, :32], torch.arange(4)
    loss, exact, _ = gradients_of(model, x, labels, plain())
    found = gradients_of(model, x, labels, st.compress_saved_tensors(model, lossless=True, min_size=1000))
    assert found[0] == loss and torch.equal(found[1], exact)
    saved = found[2]
    # Input, two of BatchNorm, two ReLU outputs (each saved by the ReLU and by what follows it).
    assert 4 <= saved.tensors <= 6 and saved.ratio > 1 and saved.left > 0


@pytest.mark.parametrize("settings", [{"relative_step": 0.1}, {"step": 0.1}, {"bits": 4}, {"relative_step": 0.1, "wavelet": "cdf97"}])
def test_lossy_saved_tensors_give_near_gradients(settings):
    model, x, labels = conv_net(), images(4, 33)[..., :32, :32], torch.arange(4)
    loss, exact, _ = gradients_of(model, x, labels, plain())
    found = gradients_of(model, x, labels, st.compress_saved_tensors(model, min_size=1000, **settings))
    assert found[0] == loss
    error = (found[1] - exact).norm() / exact.norm()
    assert 0 < error < 0.1 and found[2].ratio > 2


def test_what_saved_tensors_leave_alone():
    weight = torch.randn(64, 64, requires_grad=True)
    x = torch.rand(64, 64, requires_grad=True) * 1
    with st.compress_saved_tensors(lossless=True, min_size=64 * 64 + 1) as saved:
        (x @ weight).sum().backward(retain_graph=True)
    assert saved.tensors == 0
    with st.compress_saved_tensors(lossless=True, min_size=1) as saved:
        (x @ weight.t()).relu().sum().backward()
    # The left factor and the output of the ReLU; the view of the weight stays.
    assert saved.tensors == 2 and saved.left >= 1
    model = nn.BatchNorm2d(4)
    with st.compress_saved_tensors(model, lossless=True, min_size=100) as saved:
        model(torch.randn(2, 4, 8, 8)).sum().backward()
    assert saved.tensors == 1
    with st.compress_saved_tensors(step=0.1, min_size=1) as saved:
        torch.tensor([[1.0, float("nan")]]).requires_grad_().clone().exp().sum().backward()
        torch.rand(5, 5, dtype=torch.float64, requires_grad=True).exp().sum().backward()
    assert saved.tensors == 0


def test_memory_that_is_used_again_is_not_taken_for_the_old_one():
    with st.compress_saved_tensors(lossless=True, min_size=1) as saved:
        losses, expected = [], []
        for seed in range(50):
            x = torch.full((40, 40), float(seed), requires_grad=True)
            y = x.clone()
            losses.append(((y * y).sum(), x))
            expected.append(2.0 * seed)
            del y
    for (loss, x), value in zip(losses, expected):
        loss.backward()
        assert (x.grad == value).all()
    assert saved.tensors >= 50


def test_saved_tensors_beside_checkpointing_and_channels_last():
    from torch.utils.checkpoint import checkpoint

    model, x, labels = conv_net(), images(4, 33)[..., :32, :32], torch.arange(4)
    _, exact, _ = gradients_of(model, x, labels, plain())
    model.zero_grad()
    with st.compress_saved_tensors(model, lossless=True, min_size=1000):
        hidden = checkpoint(model[:6], x, use_reentrant=False)
        F.cross_entropy(model[6:](hidden), labels).backward()
    torch.testing.assert_close(torch.cat([p.grad.reshape(-1) for p in model.parameters()]), exact)
    model = model.to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last)
    found = gradients_of(model, x, labels, st.compress_saved_tensors(model, lossless=True, min_size=1000))
    torch.testing.assert_close(found[1], exact, rtol=1e-3, atol=1e-5)


def pool_net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8, affine=False), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 256, 5),
    )  # fmt: skip


@pytest.mark.parametrize("settings", [{"lossless": True}, {"relative_step": 0.1}])
@pytest.mark.parametrize("kind", ["contiguous", "channels_last", "bfloat16"])
def test_backward_part_by_part_is_that_of_whole_tensors(monkeypatch, settings, kind):
    from subband.torch import _packed, _saved

    # Parts of a few images, the last one smaller.
    monkeypatch.setattr(_packed, "PART", 3 * 8 * 33 * 32)
    model, x, labels = pool_net(), images(7, 33)[..., :32, :32], torch.arange(7) % 5
    if kind == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    if kind == "bfloat16":
        model, x = model.bfloat16(), x.bfloat16()
    whole, decode = [], _packed.Packed.decode
    monkeypatch.setattr(_packed.Packed, "decode", lambda self: (whole.append(self.name), decode(self))[1])
    context = lambda: st.compress_saved_tensors(model, min_size=1000, **settings)  # noqa: E731
    found = gradients_of(model, x, labels, context())[1]
    part_by_part = len(whole)
    with monkeypatch.context() as patch:
        patch.setattr(_saved, "reader_at_work", lambda: False)
        expected = gradients_of(model, x, labels, context())[1]
    if kind == "channels_last" or (kind == "contiguous" and "lossless" not in settings):
        # Gradients laid out differently, or sums in another order, that is all.
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    else:
        assert torch.equal(found, expected)
    if kind == "contiguous" and "lossless" not in settings:
        # What is decoded as a whole are the inputs of the convolutions and of the linear layer.
        assert part_by_part == 3
    assert part_by_part < len(whole) - part_by_part


def test_gradients_of_gradients_of_compressed_tensors():
    torch.manual_seed(0)
    x = torch.randn(4, 8, 16, 16, requires_grad=True)
    expected, found = [], []
    for context, into in ((plain(), expected), (st.compress_saved_tensors(lossless=True, min_size=1), found)):
        with context:
            y = F.max_pool2d(F.relu(F.batch_norm(x * 1, None, None, training=True)) ** 2, 2).sum()
            (first,) = torch.autograd.grad(y, x, create_graph=True)
            into += torch.autograd.grad((first**2).sum(), x)
    assert torch.equal(found[0], expected[0])


def test_saved_integers():
    x = torch.rand(4, 8, 30, 30, requires_grad=True)
    with st.compress_saved_tensors(lossless=True, min_size=1) as saved:
        y, places = F.max_pool2d(x * 1, 2, return_indices=True)
    assert places.dtype == torch.int64 and saved.tensors == 2 and saved.left == 0
    y.sum().backward()
    assert torch.equal(x.grad, torch.autograd.grad(F.max_pool2d(x, 2).sum(), x)[0])
    with st.compress_saved_tensors(lossless=True, min_size=1) as saved:
        z = torch.rand(2, 2, 300).requires_grad_().clone().gather(2, torch.full((2, 2, 5), 299) * 1)
        far = torch.rand(1, 1, 70000).requires_grad_().clone().gather(2, torch.full((1, 1, 5), 69999))
    # Places beyond 16 bits stay.
    assert saved.left == 1
    (z.sum() + far.sum()).backward()


def test_errors_in_a_hook_name_the_tensor(monkeypatch):
    from subband.torch import _saved

    with pytest.raises(subband.InvalidArgumentError, match="targets given"):
        st.compress_saved_tensors()
    with pytest.raises(subband.InvalidArgumentError, match="give one"):
        st.compress_saved_tensors(step=1, relative_step=1)
    with pytest.raises(subband.InvalidArgumentError, match="step is -1"):
        st.compress_saved_tensors(step=-1)
    x = torch.rand(8, 8, requires_grad=True)
    with pytest.raises(subband.InvalidArgumentError, match="levels is 9"):
        st.compress_saved_tensors(step=1, levels=9)
    with pytest.raises(st.SavedTensorError, match=r"the output of Exp \(8, 8\), saved for backward: .*bits"):
        with st.compress_saved_tensors(bits=1e-3, min_size=1):
            x.exp()
    kept, pack = [], _saved.Packer.pack
    monkeypatch.setattr(_saved.Packer, "pack", lambda *arguments: (kept.append(pack(*arguments)), kept[-1])[1])
    for operation in (torch.exp, torch.relu):
        with st.compress_saved_tensors(step=1, min_size=1):
            y = operation(x.reshape(1, 1, 8, 8) * 1)
        object.__setattr__(kept[-1], "native", Damaged())
        with pytest.raises(st.SavedTensorError, match=r"the output of \w+ \(1, 1, 8, 8\), saved for backward: .*end"):
            y.sum().backward()


class Damaged:
    """In the place of a tensor in memory, with the last bytes missing."""

    one_sided = False

    def decode(self, start, out):
        subband.decompress(subband.compress(np.ones((8, 8), np.float32), step=1)[:-3])


def test_a_version_without_the_node_at_work(monkeypatch):
    monkeypatch.delattr(torch._C, "_current_autograd_node")
    with pytest.raises(RuntimeError, match=r"this is PyTorch \d.*tested with PyTorch 2\.9 and needs 2\.4"):
        st.compress_saved_tensors(lossless=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("settings", [{"step": 0.1}, {"lossless": True}])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_shut_relu_passes_nothing_on_even_of_what_is_not_finite(dtype, settings, layout):
    """As in plain PyTorch: infinity times nothing is no number, and a choice has none."""
    # 5 planes of 7 x 9: the last byte of a mask is a part of one.
    x = (torch.rand(1, 5, 7, 9) - 0.5).to(dtype).contiguous(memory_format=layout).requires_grad_()
    gradient = torch.randn(x.shape).to(dtype)
    gradient[0, :, ::2], gradient[0, :, 1::2, ::3] = float("inf"), float("nan")
    found = []
    for context in (plain(), st.compress_saved_tensors(min_size=1, **settings)):
        with context as saved:
            y = (x * 1).relu()
        found += torch.autograd.grad(y, x, gradient.contiguous(memory_format=layout))
    assert saved.tensors == 1
    assert torch.equal(found[1][x <= 0], torch.zeros_like(x[x <= 0]))
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_many_steps_leave_no_memory():
    from test_threads import resident

    model, x, labels = conv_net(), images(4, 33)[..., :32, :32], torch.arange(4)
    work = lambda: gradients_of(model, x, labels, st.compress_saved_tensors(model, relative_step=0.1, min_size=1000))  # noqa: E731
    for _ in range(50):
        work()
    before = resident()
    for _ in range(100):
        work()
    # One map is 128 KB; some 500 were kept and are gone.
    assert resident() - before < 8 << 20


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *arguments], capture_output=True, text=True, timeout=900, cwd=EXAMPLES
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_split_inference():
    pytest.importorskip("PIL", reason="needs Pillow")
    text = run("split_inference.py", "--images", "20")
    assert "20 images split at layer2.2" in text and "less than f32" in text
    raw = run("split_inference.py", "--images", "20", "--raw")
    assert "(1.0x less" in raw


def test_the_example_of_retraining():
    pytest.importorskip("PIL", reason="needs Pillow")
    assert "bits per value" in run("retrain.py", "--steps", "3")


def test_the_example_of_training_memory(tmp_path):
    run("training_memory.py", "--network", "resnet20", "--batch", "16", "--size", "32", "--steps", "1", "--json", str(tmp_path / "m.json"))
    rows = json.loads((tmp_path / "m.json").read_text())
    assert rows[1]["gradient_error"] == 0 and 0 < rows[2]["gradient_error"] < 0.2
