"""The codec as a layer: forward as the codec, gradients as the kernels and as the formulas say, and the ways of PyTorch."""

import copy
import os
import pickle

import numpy as np
import pytest

import subband
from conftest import relu_maps

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
import subband.torch as st  # noqa: E402
from subband.torch import _ops, _plain  # noqa: E402

WAVELETS = [("none", 0), ("haar", 1), ("haar", 3), ("legall53", 2), ("cdf97", 2), ("db2", 3)]
SIZES = [(8, 8), (7, 10), (1, 5), (4, 1), (1, 1), (13, 9)]


def maps(*shape, seed=0):
    return torch.from_numpy(relu_maps(*shape, seed=seed))


@pytest.mark.parametrize(("wavelet", "levels"), WAVELETS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("rounding", "reconstruction"), [(0.5, 0.0), (0.35, 0.1)])
def test_forward_has_the_bits_of_the_codec(wavelet, levels, size, rounding, reconstruction):
    x = maps(2, 5, *size)
    step = np.random.default_rng(3).uniform(0.05, 0.5, (5, 3 * levels + 1)).astype(np.float32)
    layer = st.WaveletQuantize(
        5, step=step, wavelet=wavelet, levels=levels, rounding=rounding, reconstruction=reconstruction
    )
    stream = subband.compress(
        x,
        step=layer.steps().numpy(),
        wavelet=wavelet,
        levels=levels,
        rounding=rounding,
        reconstruction=reconstruction,
    )
    assert torch.equal(layer(x), subband.decompress(stream, kind="torch"))


def test_forward_of_a_mask_and_of_signed_maps_is_the_codecs():
    x = maps(3, 4, 8, 12) - 0.5
    mask = np.ones((4, 7), bool)
    mask[1, 4:] = mask[3, 1:] = False
    layer = st.WaveletQuantize(4, step=0.1, levels=2, mask=mask, nonnegative=False)
    stream = subband.compress(x, step=layer.steps().numpy(), levels=2, mask=mask)
    assert torch.equal(layer(x), subband.decompress(stream, kind="torch"))
    # Channels last is another layout of the same map.
    assert torch.equal(layer(x.contiguous(memory_format=torch.channels_last)), layer(x))


def operands(wavelet, levels, size, channels=3):
    subbands = 3 * levels + 1
    generator = torch.Generator().manual_seed(1)
    x = maps(4, channels, *size) - 0.3
    steps = torch.rand(channels, subbands, generator=generator) * 0.4 + 0.05
    gates = torch.ones(channels, subbands)
    if levels:
        gates[1, -3:] = 0
    dy = torch.randn(x.shape, generator=generator)
    dmeans = torch.rand(channels, subbands, generator=generator) * gates * 50
    return x, steps.log(), gates, dy, dmeans


@pytest.mark.parametrize(("wavelet", "levels"), WAVELETS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("nonnegative", [False, True])
def test_plain_operations_agree_with_the_kernels(wavelet, levels, size, nonnegative):
    x, log_steps, gates, dy, dmeans = operands(wavelet, levels, size)
    settings = (wavelet, levels, 0.4, 0.05, nonnegative, None)
    y, means = _ops.quantize(x, log_steps, gates, *settings)
    steps = log_steps.exp()
    plain_y, plain_means = _plain.forward(x, steps, gates, *settings)
    assert torch.equal(plain_y, y)
    torch.testing.assert_close(plain_means, means, rtol=1e-5, atol=1e-6)
    found = _ops.quantize_backward(x, y, dy, log_steps, gates, dmeans, *settings)
    rate = torch.where(gates != 0, dmeans / gates, 0.0)
    plain = _plain.backward(x, y, dy, steps, gates, rate, *settings)
    for one, other in zip(found, plain):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    # One row of steps for all channels.
    row = log_steps[0].clone()
    y, _ = _ops.quantize(x, row, gates, *settings)
    found = _ops.quantize_backward(x, y, dy, row, gates, dmeans, *settings)
    plain = _plain.backward(x, y, dy, row.exp(), gates, rate, *settings)
    assert found[1].shape == row.shape
    torch.testing.assert_close(found[1], plain[1], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("wavelet", "levels"), WAVELETS)
def test_gradients_of_noise_are_exact(wavelet, levels):
    """With noise in place of rounding nothing is passed straight through: finite differences agree."""
    x, log_steps, gates, dy, _ = operands(wavelet, levels, (6, 5), channels=2)
    settings = (wavelet, levels, 0.5, 0.0, False, 12345)

    def loss(x, log_steps):
        return float((_ops.quantize(x, log_steps, gates, *settings)[0].double() * dy.double()).sum())

    y, _ = _ops.quantize(x, log_steps, gates, *settings)
    dx, dlog, _ = _ops.quantize_backward(x, y, dy, log_steps, gates, torch.zeros_like(gates), *settings)
    for tensor, gradient, other in ((x, dx, False), (log_steps, dlog, True)):
        direction = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(2))
        h = 1e-2
        moved = [(x, t) if other else (t, log_steps) for t in (tensor + h * direction, tensor - h * direction)]
        numeric = (loss(*moved[0]) - loss(*moved[1])) / (2 * h)
        assert numeric == pytest.approx(float((gradient * direction).sum()), rel=2e-2, abs=2e-2)


def test_gradients_of_noise_are_exact_in_plain_operations():
    x, log_steps, gates, dy, _ = operands("haar", 2, (6, 5), channels=2)
    settings = ("haar", 2, 0.5, 0.0, False, 99)
    loss = lambda x: float((_plain.forward(x, log_steps.exp(), gates, *settings)[0].double() * dy.double()).sum())
    y, _ = _plain.forward(x, log_steps.exp(), gates, *settings)
    dx, _, _ = _plain.backward(x, y, dy, log_steps.exp(), gates, torch.zeros_like(gates), *settings)
    direction = torch.randn(x.shape)
    numeric = (loss(x + 1e-2 * direction) - loss(x - 1e-2 * direction)) / 2e-2
    assert numeric == pytest.approx(float((dx * direction).sum()), rel=2e-2, abs=2e-2)


def test_the_straight_through_gradient_by_hand():
    """One plane of 2 x 2 without a transform, step 1: d = round(x)."""
    layer = st.WaveletQuantize(1, step=1.0, wavelet="none", nonnegative=True)
    x = torch.tensor([[[[0.3, 1.6], [-0.2, 2.0]]]], requires_grad=True)
    y = layer(x)
    assert torch.equal(y.detach(), torch.tensor([[[[0.0, 2.0], [0.0, 2.0]]]]))
    (y * torch.tensor([[[[1.0, 2.0], [4.0, 8.0]]]])).sum().backward()
    # Passed where y > 0, and where x > 0 was rounded to nothing; not where both are not positive.
    assert torch.equal(x.grad, torch.tensor([[[[1.0, 2.0], [0.0, 8.0]]]]))
    # Sum of g * (d - u): 1 * (0 - 0.3) + 2 * (2 - 1.6) + 8 * (2 - 2).
    assert float(layer.log_steps.grad) == pytest.approx(0.5, abs=1e-6)


def test_the_rate_is_an_entropy_with_its_derivative():
    """Values and slopes of the trainer's estimate (rate.rs): geometric distributions of theta."""
    from subband.torch._rate import LEAST_MEAN, bits_per_index

    for theta in (0.01, 0.2, 0.7):
        k = np.arange(1, 2000)
        zero = (1 - theta) / (1 + theta)
        two = zero * theta**k
        one = (1 - theta) * theta ** np.arange(2000)
        means = torch.tensor([[2 * (k * two).sum(), (np.arange(2000) * one).sum()]], dtype=torch.float64, requires_grad=True)
        bits = bits_per_index(means, torch.tensor([False, True]))
        entropy = lambda p: -(p[p > 0] * np.log2(p[p > 0])).sum()
        assert bits[0, 0].item() == pytest.approx(2 * entropy(two) - zero * np.log2(zero), abs=1e-9)
        assert bits[0, 1].item() == pytest.approx(entropy(one), abs=1e-9)
        bits.sum().backward()
        # The cost of one more unit is -log2(theta), for both.
        assert means.grad.tolist()[0] == pytest.approx([-np.log2(theta)] * 2, rel=1e-6)
    empty = torch.zeros(1, 2, requires_grad=True)
    at_least = torch.full((1, 2), LEAST_MEAN, requires_grad=True)
    for means in (empty, at_least):
        bits_per_index(means, torch.tensor([False, True])).sum().backward()
    assert torch.equal(empty.grad, at_least.grad) and bits_per_index(empty, torch.tensor([False, True])).sum() == 0


def test_sizes_of_subbands_are_the_codecs():
    from subband import _native
    from subband.torch._layer import subband_sizes

    for levels in range(9):
        for size in (*SIZES, (56, 57), (255, 3)):
            assert subband_sizes(levels, *size) == _native.subband_sizes(levels, *size)


def test_the_rate_estimate_is_near_the_bytes_and_falls_in_training():
    torch.manual_seed(0)
    x = maps(16, 8, 16, 16)
    layer = st.WaveletQuantize(8, step=0.05)
    model = torch.nn.Sequential(layer)
    calibrator = subband.Calibrator("t", (8, 16, 16), **layer.coding())
    calibrator.observe(x), calibrator.fit(), calibrator.observe(x)
    # At effort fast a table depends on channel and subband alone, as the estimate does; the default sees how smooth these maps are.
    codec = subband.Codec(subband.Profile.of("n", [calibrator]), "t", effort="fast")
    model(x)
    real = 8 * sum(map(len, codec.compress_batch(x))) / x.numel()
    assert real * 0.9 < st.rate(model).item() < real * 1.25
    optimizer = torch.optim.Adam(st.parameter_groups(model, codec_lr=0.05))
    before = st.rate(model).item()
    for _ in range(60):
        optimizer.zero_grad()
        loss = ((model(x) - x) ** 2).mean() * 20 + 0.1 * st.rate(model)
        loss.backward()
        optimizer.step()
    assert st.rate(model).item() < before * 0.7 and float(layer.steps().mean()) > 0.06


def test_gates_close_where_coding_costs_more_than_it_brings():
    torch.manual_seed(0)
    x = maps(8, 4, 8, 8)
    x[:, 2:] = torch.rand(8, 2, 8, 8) * 0.5 + 1
    layer = st.WaveletQuantize(4, step=0.05, levels=2, selection="gates", learn_steps=False)
    model = torch.nn.Sequential(layer)
    weight = torch.tensor([1.0, 1.0, 0.0, 0.0])[:, None, None]
    optimizer = torch.optim.Adam(st.parameter_groups(model, codec_lr=0.02))
    for _ in range(100):
        optimizer.zero_grad()
        (((model(x) - x) ** 2 * weight).mean() * 100 + 0.02 * st.rate(model)).backward()
        optimizer.step()
    gates = layer.gates().detach()
    assert gates[:2].all() and gates[:, 0].all() and not gates[2:, 1:].any()
    coding = layer.coding()
    np.testing.assert_array_equal(coding["mask"], gates.numpy() != 0)
    assert torch.equal(layer(x), subband.decompress(subband.compress(x, **coding_arguments(coding)), kind="torch"))


def coding_arguments(coding):
    return {key: value for key, value in coding.items() if key != "nonnegative"}


def test_thesis_scores_keep_the_channels_whose_details_matter():
    torch.manual_seed(0)
    x = maps(8, 4, 8, 8)
    layer = st.WaveletQuantize(4, step=0.05, levels=2, selection="thesis", retain=0.5, learn_steps=False)
    model = torch.nn.Sequential(layer)
    weight = torch.tensor([0.0, 1.0, 0.0, 1.0])[:, None, None]
    optimizer = torch.optim.Adam(st.parameter_groups(model))
    for _ in range(100):
        optimizer.zero_grad()
        (((model(x) - x) ** 2 * weight).mean() * 100 + 1e-3 * st.sharpening(model)).backward()
        optimizer.step()
        st.project(model)
    assert layer.gates()[:, -1].tolist() == [0, 1, 0, 1]
    assert layer.gates()[:, :4].all()
    assert float(layer.scores.sum()) == pytest.approx(2, abs=1e-3)
    assert 0 <= float(layer.scores.min()) and float(layer.scores.max()) <= 1


def test_state_dict_copy_and_pickle():
    layer = st.WaveletQuantize(3, step=0.3, selection="gates", levels=2, per_channel=True)
    x = maps(2, 3, 8, 8).requires_grad_()
    layer(x)
    assert set(layer.state_dict()) == {"log_steps", "scores", "mask"}
    with torch.no_grad():
        layer.log_steps.add_(0.1)
    other = st.WaveletQuantize(3, step=0.9, selection="gates", levels=2, per_channel=True)
    other.load_state_dict(layer.state_dict())
    for again in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(again(x), layer(x))


def test_autocast_and_half_precision():
    layer = st.WaveletQuantize(3, step=0.1, levels=2)
    x = maps(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
        half = layer(x.bfloat16())
    assert y.dtype == torch.float32 and torch.equal(y, layer(x))
    assert half.dtype == torch.bfloat16
    # What the codec gives of a bfloat16 map.
    stream = subband.compress(x.bfloat16(), step=layer.steps().numpy(), levels=2)
    assert torch.equal(half, subband.decompress(stream, kind="torch"))


def test_compiled_whole():
    layer = st.WaveletQuantize(3, step=0.1, levels=2)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3, padding=1), torch.nn.ReLU(), layer)
    x = maps(2, 3, 8, 8)
    expected = model(x)
    expected.sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    model.zero_grad()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    found = compiled(x)
    found.sum().backward()
    torch.testing.assert_close(found, expected)
    for one, other in zip([p.grad for p in model.parameters() if p.grad is not None], gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_operator_is_what_pytorch_wants():
    x, log_steps, gates, _, _ = operands("haar", 2, (8, 8))
    inputs = (x.requires_grad_(), log_steps.requires_grad_(), gates, "haar", 2, 0.5, 0.0, False, None)
    torch.library.opcheck(_ops.quantize, inputs, test_utils=("test_schema", "test_faketensor", "test_autograd_registration"))


def test_bad_arguments():
    for arguments, message in [
        ({"step": 0}, "step is 0"),
        ({"levels": 9}, "levels is 9"),
        ({"wavelet": "sinc"}, "unknown wavelet"),
        ({"rounding": 1}, "rounding is 1"),
        ({"step": [1, 2]}, "subbands"),
        ({"selection": "all"}, "selection is 'all'"),
        ({"retain": 2}, "retain is 2"),
        ({"tau": 0}, "tau is 0"),
        ({"mask": np.ones((3, 10)), "selection": "gates"}, "a mask is fixed"),
    ]:
        with pytest.raises(subband.InvalidArgumentError, match=message):
            st.WaveletQuantize(3, **arguments)
    layer = st.WaveletQuantize(3)
    with pytest.raises(subband.InvalidArgumentError, match=r"the map has shape \(2, 4, 8, 8\)"):
        layer(torch.zeros(2, 4, 8, 8))
    with pytest.raises(subband.InvalidArgumentError, match="dtype torch.int64"):
        layer(torch.zeros(2, 3, 8, 8, dtype=torch.int64))
    with pytest.raises(subband.InvalidArgumentError, match="has seen a map"):
        st.rate(torch.nn.Sequential(layer))


def test_tensors_go_in_and_out():
    x = maps(2, 3, 8, 8)
    assert subband.compress(x, step=0.1) == subband.compress(x.numpy(), step=0.1)
    swapped = x.transpose(2, 3).requires_grad_()
    assert subband.compress(swapped, step=0.1) == subband.compress(swapped.detach().numpy(), step=0.1)
    for dtype in (torch.bfloat16, torch.float16, torch.uint8, torch.int8, torch.int16, torch.uint16):
        y = (x * 20).to(dtype)
        stream = subband.compress(y.transpose(0, 1), lossless=True)
        back = subband.decompress(stream, kind="torch")
        assert back.dtype == dtype and back.shape == (3, 2, 8, 8)
        assert torch.equal(back.float(), y.transpose(0, 1).float())
    out = torch.empty(2, 3, 8, 8)
    subband.decompress_into(subband.compress(x, lossless=True), out)
    assert torch.equal(out, x)
    with pytest.raises(subband.DTypeError, match="torch.float64"):
        subband.compress(x.double(), step=1)
    with pytest.raises(subband.InvalidArgumentError, match="on meta"):
        subband.compress(x.to("meta"), step=1)


def _train(rank, size, folder):
    """A step of two processes, or one on the global batch; the parameters after it."""
    import torch.distributed as distributed
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1),
        torch.nn.ReLU(),
        st.WaveletQuantize(4, step=0.2, levels=2, selection="gates"),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 64, 5),
    )
    x, labels = maps(8, 3, 8, 8), torch.arange(8) % 5
    if size > 1:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
        wrapped = DistributedDataParallel(model)
    else:
        wrapped = model
    share = slice(rank * 8 // size, (rank + 1) * 8 // size)
    optimizer = torch.optim.SGD(st.parameter_groups(model, codec_lr=0.1), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(wrapped(x[share]), labels[share]) + 0.3 * st.rate(model)
        loss.backward()
        optimizer.step()
    torch.save(model.state_dict(), os.path.join(folder, f"{size}-{rank}.pt"))
    if size > 1:
        distributed.destroy_process_group()


def test_two_processes_train_as_one(tmp_path):
    torch.multiprocessing.spawn(_train, args=(2, str(tmp_path)), nprocs=2)
    _train(0, 1, str(tmp_path))
    alone = torch.load(tmp_path / "1-0.pt")
    for rank in range(2):
        for name, value in torch.load(tmp_path / f"2-{rank}.pt").items():
            torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-5, msg=name)
