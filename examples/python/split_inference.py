"""A network split between two processes, with compressed maps on the socket between them.

    python examples/python/split_inference.py [--images 50] [--raw]

The first process (the device) runs the network up to a tap, compresses the map against the tap's profile and sends the packet; the second
(the server) decodes it and runs the rest. Both hold the profile. Printed are bytes and milliseconds of each part.
"""

import argparse
import multiprocessing
import socket
import struct
import time

import numpy as np
import torch
from torch import Tensor, nn

import resnet20
import subband

TAP = "layer2.2"


def halves(model: resnet20.ResNet20) -> tuple[nn.Module, nn.Module]:
    """What comes before and after the tap."""
    head = nn.Sequential(model.conv1, model.bn1, model.relu, model.layer1, model.layer2)

    class Tail(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return model.linear(model.layer3(x).mean((2, 3)))

    return head, Tail()


def send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(struct.pack("<I", len(message)) + message)


def receive(connection: socket.socket) -> bytes:
    """One message; empty where the other side has closed."""

    def exactly(count: int) -> bytes:
        parts = b""
        while len(parts) < count:
            more = connection.recv(count - len(parts))
            if not more:
                return b""
            parts += more
        return parts

    header = exactly(4)
    return exactly(struct.unpack("<I", header)[0]) if header else b""


def server(port_to: "multiprocessing.connection.Connection", raw: bool) -> None:
    """Answers every packet with the scores."""
    torch.set_num_threads(1)
    model, profile_path = resnet20.bundled()
    codec = subband.Codec(subband.Profile.load(profile_path), TAP)
    _, tail = halves(model)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port_to.send(listener.getsockname()[1])
        connection, _ = listener.accept()
        with connection, torch.no_grad():
            while message := receive(connection):
                if raw:
                    map = torch.frombuffer(bytearray(message), dtype=torch.float32).reshape(codec.tap.shape)
                else:
                    map = codec.decompress(message, kind="torch")
                send(connection, tail(map[None])[0].numpy().tobytes())


def main() -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50, help="how many of the 500 bundled images")
    parser.add_argument("--raw", action="store_true", help="send maps as they are, for comparison")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    images, labels = resnet20.sample()
    model, profile_path = resnet20.bundled()
    head, _ = halves(model)
    codec = subband.Codec(subband.Profile.load(profile_path), TAP)
    context = multiprocessing.get_context("spawn")
    port_from, port_to = context.Pipe(duplex=False)
    process = context.Process(target=server, args=(port_to, arguments.raw), daemon=True)
    process.start()
    port = port_from.recv()

    sent, correct, times = 0, 0, []
    with socket.create_connection(("127.0.0.1", port)) as connection, torch.no_grad():
        for image, label in zip(images[: arguments.images], labels):
            start = time.perf_counter()
            map = head(image[None])[0]
            computed = time.perf_counter()
            message = map.contiguous().numpy().tobytes() if arguments.raw else codec.compress(map)
            coded = time.perf_counter()
            send(connection, message)
            scores = np.frombuffer(receive(connection), np.float32)
            times.append((computed - start, coded - computed, time.perf_counter() - coded))
            sent += len(message)
            correct += int(scores.argmax() == label)
    process.join(timeout=10)

    count = len(times)
    compute, code, rest = 1e3 * np.median(times, axis=0)
    whole = 4 * int(np.prod(codec.tap.shape))
    print(f"{count} images split at {TAP}, maps of {whole:,} bytes")
    print(f"bytes sent per image   {sent / count:10,.0f}   ({whole * count / sent:.1f}x less than f32)")
    print(f"head                   {compute:10.2f} ms  (medians)")
    print(f"compress               {code:10.2f} ms")
    print(f"send, decode, tail     {rest:10.2f} ms")
    print(f"top-1                  {100 * correct / count:10.1f} %")
    return {"bytes": sent / count, "top1": 100 * correct / count, "milliseconds": [compute, code, rest]}


if __name__ == "__main__":
    main()
