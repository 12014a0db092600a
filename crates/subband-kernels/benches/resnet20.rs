//! GFLOP/s of every operation of a ResNet-20 training step at batch 128, and the images per second they allow.
//!
//! ```text
//! cargo bench -p subband-kernels                      # the fastest instruction set
//! cargo bench -p subband-kernels -- --isa avx2        # another one
//! cargo bench -p subband-kernels -- --seconds 1       # longer, for less noise
//! cargo bench -p subband-kernels -- --only 16>16      # some operations only
//! cargo bench -p subband-kernels -- --direct          # the convolutions as direct sums beside Winograd's method
//! cargo bench -p subband-kernels -- --resnet18        # with convolutions of ResNet-18
//! RAYON_NUM_THREADS=1 cargo bench -p subband-kernels -- --batch 16   # runs so short that some are undisturbed
//! ```
//! Each operation runs for a while and its fastest run counts, since a busy machine only ever adds time. The column
//! `of peak` relates it to plain multiply-adds on registers on the same threads, measured just before.

mod common;

use std::time::Duration;

use subband_kernels::{
    BatchNorm, BatchNormGradients, Clipped, ConvShape, Epilogue, Isa, conv2d, conv2d_input_gradient,
    conv2d_weight_gradient, plain,
};

use common::{Options, fastest};

struct Bench {
    isa: Isa,
    batch: usize,
    time: Duration,
    /// Run only the operations whose names contain it.
    only: String,
    /// Repeat the convolutions as direct sums, where they are by Winograd's method.
    direct: bool,
}

impl Bench {
    /// Seconds of the fastest run.
    fn fastest(&self, run: impl FnMut()) -> f64 {
        fastest(self.time, run)
    }

    fn peak(&self) -> f64 {
        const REPEATS: usize = 100_000;
        let threads = rayon::current_num_threads();
        let flops = fma_chains(self.isa, 1) * REPEATS as f64 * threads as f64;
        let seconds = self.fastest(|| {
            rayon::broadcast(|_| fma_chains(self.isa, REPEATS));
        });
        flops / seconds
    }

    /// Prints the three passes of a convolution that the network has `count` times; returns their seconds together.
    fn conv(&self, name: &str, count: usize, shape: &ConvShape, first: bool) -> f64 {
        if !name.contains(&self.only) {
            return 0.0;
        }
        let x = values(shape.input_len());
        let w = values(shape.weight_len());
        let dy = values(shape.output_len());
        let (mut y, mut dx, mut dw) = (dy.clone(), x.clone(), w.clone());
        let epilogue = Epilogue::default();
        let peak = self.peak();
        let passes = [
            self.fastest(|| conv2d(self.isa, shape, &x, &w, epilogue, &mut y)),
            if first { 0.0 } else { self.fastest(|| conv2d_input_gradient(self.isa, shape, &dy, &w, &mut dx)) },
            self.fastest(|| conv2d_weight_gradient(self.isa, shape, &x, &dy, &mut dw)),
        ];
        print_rates(&format!("{name:24} x{count:<2}"), shape, passes, peak);
        if self.direct && [shape.kernel, shape.stride] == [3, 1] && !first {
            let direct = [
                self.fastest(|| plain::conv2d(self.isa, shape, &x, &w, epilogue, &mut y)),
                self.fastest(|| plain::conv2d_input_gradient(self.isa, shape, &dy, &w, &mut dx)),
                self.fastest(|| plain::conv2d_weight_gradient(self.isa, shape, &x, &dy, &mut dw)),
            ];
            print_rates("  as direct sums", shape, direct, peak);
        }
        count as f64 * passes.iter().sum::<f64>()
    }
}

/// The percentage is that of a direct sum at peak; Winograd's method may be above 100.
fn print_rates(name: &str, shape: &ConvShape, passes: [f64; 3], peak: f64) {
    print!("{name:27}");
    for seconds in passes {
        let rate = shape.flops() / seconds;
        if seconds > 0.0 {
            print!("  {:7.2} ms {:5.0} {:3.0}%", seconds * 1e3, rate * 1e-9, rate / peak * 100.0);
        } else {
            print!("  {:>20}", "-");
        }
    }
    println!();
}

impl Bench {
    /// As [`Bench::conv`], for a normalisation with ReLU. The rate counts each tensor once.
    fn batch_norm(&self, name: &str, count: usize, channels: usize, width: usize, residual: bool, relu: bool) -> f64 {
        if !name.contains(&self.only) {
            return 0.0;
        }
        let ones = vec![1.0; channels];
        let plane = width * width;
        let norm = BatchNorm { batch: self.batch, channels, plane, gamma: &ones, beta: &ones, epsilon: 1e-5 };
        let x = values(self.batch * channels * plane);
        let (mut y, mut dx, mut dresidual) = (x.clone(), x.clone(), x.clone());
        let (mut dgamma, mut dbeta) = (ones.clone(), ones.clone());
        let stats = norm.forward(self.isa, &x, None, relu, &mut y);
        let r = x.clone();
        let output = y.clone();
        let dy = x.clone();
        let clipped = match (residual, relu) {
            (_, false) => Clipped::No,
            (false, true) => Clipped::WithoutResidual,
            (true, true) => Clipped::Output(&output),
        };
        let passes = [
            self.fastest(|| drop(norm.forward(self.isa, &x, residual.then_some(&r), relu, &mut y))),
            self.fastest(|| {
                let dresidual = residual.then_some(&mut dresidual[..]);
                let to = BatchNormGradients { dx: &mut dx, dresidual, dgamma: &mut dgamma, dbeta: &mut dbeta };
                norm.backward(self.isa, &x, &stats, clipped, &dy, to);
            }),
        ];
        let extra = usize::from(residual);
        let tensors = [2 + extra, 3 + usize::from(residual && relu) + extra];
        print!("{name:24} x{count:<2}");
        for (seconds, tensors) in passes.iter().zip(tensors) {
            let bytes = (tensors * x.len() * size_of::<f32>()) as f64;
            print!("  {:7.2} ms {:5.1} GB/s", seconds * 1e3, bytes / seconds * 1e-9);
        }
        println!();
        count as f64 * passes.iter().sum::<f64>()
    }
}

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i * 7919 % 2003) as f32 / 1000.0 - 1.0).collect()
}

/// Operations of `repeats` rounds of independent multiply-adds.
fn fma_chains(isa: Isa, repeats: usize) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f")]
        fn avx512(repeats: usize) -> f64 {
            let mut sums = [_mm512_set1_ps(0.0); 12];
            let x = _mm512_set1_ps(std::hint::black_box(0.5));
            for _ in 0..repeats {
                for sum in &mut sums {
                    *sum = _mm512_fmadd_ps(*sum, x, x);
                }
            }
            std::hint::black_box(sums);
            (repeats * 12 * 16 * 2) as f64
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2(repeats: usize) -> f64 {
            let mut sums = [_mm256_set1_ps(0.0); 12];
            let x = _mm256_set1_ps(std::hint::black_box(0.5));
            for _ in 0..repeats {
                for sum in &mut sums {
                    *sum = _mm256_fmadd_ps(*sum, x, x);
                }
            }
            std::hint::black_box(sums);
            (repeats * 12 * 8 * 2) as f64
        }
        // SAFETY: an `Isa` exists only where the CPU has the instructions.
        match isa.name() {
            "avx512" => return unsafe { avx512(repeats) },
            "avx2" => return unsafe { avx2(repeats) },
            _ => {}
        }
    }
    let _ = isa;
    let mut sums = [0.0f32; 32];
    let x = std::hint::black_box(0.5);
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = *sum * x + x;
        }
    }
    std::hint::black_box(sums);
    (repeats * 32 * 2) as f64
}

fn main() {
    let options = Options::parse();
    let (isa, batch) = (options.isa(), options.batch());
    let bench = Bench {
        isa,
        batch,
        time: options.time(0.2),
        only: options.value("--only").unwrap_or_default().to_owned(),
        direct: options.has("--direct"),
    };
    println!("{isa}, {} threads, batch {batch}, peak {:.0} GFLOP/s", rayon::current_num_threads(), bench.peak() * 1e-9);
    println!("{:27}  {:>20}  {:>20}  {:>20}", "", "forward", "input gradient", "weight gradient");

    let conv = |name: &str, count, in_channels, out_channels, width, stride, kernel: usize| {
        let padding = kernel / 2;
        let shape = ConvShape { batch, in_channels, out_channels, height: width, width, kernel, stride, padding };
        bench.conv(name, count, &shape, in_channels == 3)
    };
    let conv_seconds = conv("3>16 32x32", 1, 3, 16, 32, 1, 3)
        + conv("16>16 32x32", 6, 16, 16, 32, 1, 3)
        + conv("16>32 32x32 s2", 1, 16, 32, 32, 2, 3)
        + conv("16>32 32x32 s2 1x1", 1, 16, 32, 32, 2, 1)
        + conv("32>32 16x16", 5, 32, 32, 16, 1, 3)
        + conv("32>64 16x16 s2", 1, 32, 64, 16, 2, 3)
        + conv("32>64 16x16 s2 1x1", 1, 32, 64, 16, 2, 1)
        + conv("64>64 8x8", 5, 64, 64, 8, 1, 3);
    if options.has("--resnet18") {
        conv("64>64 56x56", 0, 64, 64, 56, 1, 3);
        conv("128>128 28x28", 0, 128, 128, 28, 1, 3);
        conv("256>256 14x14", 0, 256, 256, 14, 1, 3);
        conv("512>512 7x7", 0, 512, 512, 7, 1, 3);
    }
    println!("convolutions: {:.1} ms a step, {:.0} images/s\n", conv_seconds * 1e3, batch as f64 / conv_seconds);

    println!("{:27}  {:>20}  {:>20}", "", "forward", "backward");
    let norm_seconds = bench.batch_norm("norm 16 32x32", 4, 16, 32, false, true)
        + bench.batch_norm("norm 16 32x32 residual", 3, 16, 32, true, true)
        + bench.batch_norm("norm 32 16x16", 3, 32, 16, false, true)
        + bench.batch_norm("norm 32 16x16 residual", 3, 32, 16, true, true)
        + bench.batch_norm("norm 32 16x16 shortcut", 1, 32, 16, false, false)
        + bench.batch_norm("norm 64 8x8", 3, 64, 8, false, true)
        + bench.batch_norm("norm 64 8x8 residual", 3, 64, 8, true, true)
        + bench.batch_norm("norm 64 8x8 shortcut", 1, 64, 8, false, false);
    println!("normalisations: {:.1} ms a step", norm_seconds * 1e3);
    println!("all: {:.0} images/s", batch as f64 / (conv_seconds + norm_seconds));
}
