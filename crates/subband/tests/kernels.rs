//! Every set of kernels makes the same bytes, and decodes those of the others to the same values.

mod common;

use common::fitted_tap;
use subband::{
    Coding, Config, DecompressOptions, Effort, Scratch, Steps, TapCodec, Target, TensorView, Wavelet, compress,
    decompress_into, force_kernel,
};

/// Smooth bumps with noise; some values are many steps large.
fn map(shape: &[usize], rectified: bool) -> Vec<f32> {
    let (width, mut state) = (shape[shape.len() - 1], 5u32);
    let value = |at: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
        let smooth = ((at % width) as f32 / 5.0).sin() * ((at / width) as f32 / 7.0).cos();
        let value = smooth + 0.6 * noise + if state % 997 == 0 { 3000.0 } else { 0.0 };
        if rectified { value.max(0.0) } else { value }
    };
    (0..shape.iter().product()).map(value).collect()
}

// One test, since the choice of kernels is that of the process.
#[test]
fn bytes_and_values_are_those_of_the_portable_kernels() {
    let kernels = ["portable", "avx2", "avx512"];
    let mut expected: Vec<(Vec<u8>, Vec<u32>)> = Vec::new();
    for kernel in kernels {
        if !force_kernel(kernel) {
            continue;
        }
        let mut found = Vec::new();
        for shape in [[1, 1, 1], [3, 9, 7], [5, 40, 33], [16, 32, 32], [40, 17, 64], [64, 8, 8]] {
            for (rectified, levels) in [(true, 3), (false, 2)] {
                let map = map(&shape, rectified);
                let view = TensorView::new(&map, &shape).unwrap();
                for effort in [Effort::Fast, Effort::Default] {
                    let config = Config::default().with_wavelet(Wavelet::Haar, levels).with_effort(effort);
                    let stream = compress(&view, &config.with_target(Target::Step(0.2))).unwrap().bytes;
                    let mut decoded = vec![0.0f32; map.len()];
                    decompress_into(&stream, &mut (&mut decoded).into(), &DecompressOptions::default()).unwrap();
                    let decoded = decoded.into_iter().map(f32::to_bits).collect();
                    found.push((stream, decoded));
                    found.push(packet(&map, shape, rectified, levels, effort));
                }
            }
        }
        if expected.is_empty() {
            expected = found;
        } else {
            assert!(found == expected, "{kernel}");
        }
    }
}

/// A packet against a profile of this map, and what it is decoded to.
fn packet(map: &[f32], shape: [usize; 3], rectified: bool, levels: u8, effort: Effort) -> (Vec<u8>, Vec<u32>) {
    let coding = Coding::new(Wavelet::Haar, levels, Steps::Uniform(0.2)).with_nonnegative(rectified);
    let codec = TapCodec::new(&fitted_tap(shape, coding, map)).unwrap().with_effort(effort);
    let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; map.len()]);
    codec.compress(map, &mut scratch, &mut packet).unwrap();
    codec.decompress(&packet, &mut scratch, &mut decoded).unwrap();
    (packet, decoded.into_iter().map(f32::to_bits).collect())
}
