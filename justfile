# Recipes for people who work on Subband; `just` lists them.

default:
    @just --list

# What CI runs
check:
    .ci/run

# The test command of the README
test:
    cargo test --release --workspace

# The codec's tests with each set of kernels that this CPU has
test-kernels:
    for kernel in portable avx2 avx512; do SUBBAND_KERNEL=$kernel cargo test --release -p subband || exit 1; done

# Speed of the codec beside a copy, lz4 and zstd -1
bench:
    cargo bench -p subband --bench codec

# GFLOP/s of the network kernels on the shapes of a ResNet-20 step, and the codec as a layer
bench-kernels:
    cargo bench -p subband-kernels --bench resnet20
    cargo bench -p subband-kernels --bench wavelet_quantize

# Images a second of a training and a retraining step; bench/README.md has PyTorch's
bench-train:
    cargo bench -p subband-nn --bench train_step

# Ten minutes of fuzzing, with AddressSanitizer: streams (`decompress`), packets (`packet`), profiles (`profile`, from the golden
# ones), all kernels against each other (`round_trip`). Needs a nightly compiler and cargo-fuzz
fuzz target="decompress" seconds="600":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}} -max_len={{ if target == "profile" { "20000" } else { "4096" } }}

# Mutated golden profiles, ten minutes, with any compiler
fuzz-profile seconds="600":
    SUBBAND_FUZZ_SECONDS={{seconds}} cargo test --release -p subband --test hostile_profile -- --nocapture mutations

# What the bundled model costs on three accelerators, as a page
cost:
    cargo run --release -- cost resnet20-cifar10-blocks-37x --limit 500 --accelerator eyeriss,nvdla,tpu-v1 --report cost.html

# Licences and advisories of the dependencies (needs cargo-deny)
deny:
    cargo deny check
