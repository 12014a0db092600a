# Recipes for people who work on Subband; `just` lists them.

default:
    @just --list

# What CI runs
check:
    .ci/run

# The test command of the README
test:
    cargo test --release --workspace

# Throughput of the codec on one core (MB/s of f32)
bench:
    cargo bench -p subband --bench codec

# GFLOP/s of the network kernels on the shapes of a ResNet-20 step
bench-kernels:
    cargo bench -p subband-kernels

# Ten minutes of fuzzing on the decoder (needs a nightly compiler and cargo-fuzz)
fuzz seconds="600":
    cargo +nightly fuzz run decompress -- -max_total_time={{seconds}} -max_len=4096

# Licences and advisories of the dependencies (needs cargo-deny)
deny:
    cargo deny check
