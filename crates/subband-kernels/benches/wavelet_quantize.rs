//! Nanoseconds a value of the codec layer on the three maps of ResNet-20.
//!
//! ```text
//! RAYON_NUM_THREADS=1 cargo bench -p subband-kernels --bench wavelet_quantize
//! cargo bench -p subband-kernels --bench wavelet_quantize -- --isa avx2 --wavelet cdf97 --batch 16 --noise
//! ```
//! The fastest of many runs counts, since a busy machine only ever adds time.

mod common;

use subband::Wavelet;
use subband_kernels::{WaveletQuantize, WaveletQuantizeGradients};

use common::{Options, fastest};

fn main() {
    let options = Options::parse();
    let (isa, batch, time) = (options.isa(), options.batch(), options.time(0.5));
    let wavelet: Wavelet = options.value("--wavelet").map_or(Wavelet::Haar, |s| s.parse().expect("a wavelet"));
    let noise = options.has("--noise").then_some(1);
    let levels = if wavelet == Wavelet::None { 0 } else { 3 };
    println!("{isa}, {} threads, batch {batch}, {wavelet}, {levels} levels", rayon::current_num_threads());
    println!("{:10} {:>9} {:>9}   ns a value", "", "forward", "backward");
    let (mut totals, mut values) = ([0.0; 2], 0.0);
    for (channels, width) in [(16, 32), (32, 16), (64, 8)] {
        let subbands = 3 * usize::from(levels) + 1;
        let (steps, kept) = (vec![0.4; channels * subbands], vec![1.0; channels * subbands]);
        let layer = WaveletQuantize {
            batch,
            channels,
            height: width,
            width,
            wavelet,
            levels,
            steps: &steps,
            kept: &kept,
            rounding: 0.4,
            reconstruction: 0.05,
            nonnegative: true,
            noise,
        };
        let len = batch * channels * width * width;
        let x: Vec<f32> = (0..len).map(|i| ((i * 7919 % 2003) as f32 / 500.0 - 2.0).max(0.0)).collect();
        let dy: Vec<f32> = (0..len).map(|i| (i * 104_729 % 1999) as f32 / 1000.0 - 1.0).collect();
        let (mut y, mut dx) = (x.clone(), x.clone());
        let (mut dlog_steps, mut dkept) = (steps.clone(), kept.clone());
        let rate = vec![0.1; kept.len()];
        let forward = fastest(time, || drop(layer.forward(isa, &x, &mut y)));
        let backward = fastest(time, || {
            let to = WaveletQuantizeGradients { dx: &mut dx, dlog_steps: &mut dlog_steps, dkept: &mut dkept };
            layer.backward(isa, &x, &y, &dy, &rate, to);
        });
        let per_value = [forward, backward].map(|seconds| seconds / len as f64 * 1e9);
        println!("{channels:2} x {width:2}^2  {:9.2} {:9.2}", per_value[0], per_value[1]);
        // Three maps of each size.
        let of_image = 3.0 * (channels * width * width) as f64;
        values += of_image;
        totals[0] += of_image * per_value[0];
        totals[1] += of_image * per_value[1];
    }
    let [forward, backward] = totals;
    println!("{:10} {:9.2} {:9.2}", "all", forward / values, backward / values);
    println!("an image, {values} values: {:.0} + {:.0} us", forward * 1e-3, backward * 1e-3);
}
