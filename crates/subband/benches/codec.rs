//! Throughput of the codec on a 64x112x112 map, one thread: `just bench`. MB/s are of f32 input.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use subband::{
    Coding, Config, DecompressOptions, Effort, Scratch, Steps, TapCalibrator, TapCodec, Target, TensorView, Wavelet,
    compress, decompress,
};

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().expect("the pool is built once");
    divan::main();
}

const LARGE: [usize; 3] = [64, 112, 112];
const SMALL: [usize; 3] = [16, 32, 32];

/// Smooth bumps with noise, rectified: about half of the values are zero, as after a ReLU.
fn relu_map([channels, height, width]: [usize; 3]) -> Vec<f32> {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut map = Vec::with_capacity(channels * height * width);
    for c in 0..channels {
        for y in 0..height {
            for x in 0..width {
                let (u, v) = (x as f32 / 9.0 + c as f32, y as f32 / 7.0 - c as f32);
                map.push((u.sin() * v.cos() + 0.6 * noise() - 0.1).max(0.0));
            }
        }
    }
    map
}

/// Coded fast: the default effort fits its model to the tensor first.
fn config(wavelet: Wavelet, levels: u8) -> Config {
    Config::default().with_wavelet(wavelet, levels).with_target(Target::Step(0.5)).with_effort(Effort::Fast)
}

const CASES: [(Wavelet, u8); 5] =
    [(Wavelet::None, 0), (Wavelet::Haar, 2), (Wavelet::LeGall53, 3), (Wavelet::Cdf97, 3), (Wavelet::Db2, 3)];

#[divan::bench(args = CASES)]
fn compress_large(bencher: Bencher, (wavelet, levels): (Wavelet, u8)) {
    let map = relu_map(LARGE);
    let view = TensorView::new(&map, &LARGE).unwrap();
    let config = config(wavelet, levels);
    bencher.counter(BytesCount::of_slice(&map)).bench(|| compress(black_box(&view), &config).unwrap());
}

#[divan::bench(args = CASES)]
fn decompress_large(bencher: Bencher, (wavelet, levels): (Wavelet, u8)) {
    let map = relu_map(LARGE);
    let bytes = compress(&TensorView::new(&map, &LARGE).unwrap(), &config(wavelet, levels)).unwrap().bytes;
    let options = DecompressOptions::default();
    bencher.counter(BytesCount::of_slice(&map)).bench(|| decompress(black_box(&bytes), &options).unwrap());
}

/// The same map with mantissas of its own for all values, without loss.
fn noisy_map() -> Vec<f32> {
    let mut state = 7u32;
    relu_map(LARGE)
        .into_iter()
        .map(|value| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            value * (1.0 + (state >> 8) as f32 / (1u32 << 26) as f32)
        })
        .collect()
}

#[divan::bench]
fn compress_floats_lossless(bencher: Bencher) {
    let map = noisy_map();
    let view = TensorView::new(&map, &LARGE).unwrap();
    let config = Config::default().with_target(Target::Lossless);
    bencher.counter(BytesCount::of_slice(&map)).bench(|| compress(black_box(&view), &config).unwrap());
}

#[divan::bench]
fn decompress_floats_lossless(bencher: Bencher) {
    let map = noisy_map();
    let config = Config::default().with_target(Target::Lossless);
    let bytes = compress(&TensorView::new(&map, &LARGE).unwrap(), &config).unwrap().bytes;
    let options = DecompressOptions::default();
    bencher.counter(BytesCount::of_slice(&map)).bench(|| decompress(black_box(&bytes), &options).unwrap());
}

/// A copy of the same map, for scale.
#[divan::bench]
fn memcpy_large(bencher: Bencher) {
    let map = relu_map(LARGE);
    let mut copy = vec![0.0; map.len()];
    bencher.counter(BytesCount::of_slice(&map)).bench_local(|| copy.copy_from_slice(black_box(&map)));
}

/// A codec for maps of a shape, calibrated on this one.
fn tap_codec(map: &[f32], shape: [usize; 3], effort: Effort) -> TapCodec {
    let coding = Coding::new(Wavelet::Haar, if shape == SMALL { 3 } else { 2 }, Steps::Uniform(0.5));
    let mut calibrator = TapCalibrator::new("tap", shape, coding.with_nonnegative(true)).unwrap();
    let observe = |calibrator: &mut TapCalibrator| {
        calibrator.observe(map, &mut Scratch::default(), &mut vec![0.0; map.len()]).unwrap();
    };
    observe(&mut calibrator);
    calibrator.fit();
    observe(&mut calibrator);
    TapCodec::new(&calibrator.finish()).unwrap().with_effort(effort)
}

/// Shape of the map and effort: batch-1 maps against a profile.
const PACKETS: [([usize; 3], Effort); 4] =
    [(SMALL, Effort::Fast), (SMALL, Effort::Default), (LARGE, Effort::Fast), (LARGE, Effort::Default)];

#[divan::bench(args = PACKETS)]
fn compress_packet(bencher: Bencher, (shape, effort): ([usize; 3], Effort)) {
    let map = relu_map(shape);
    let codec = tap_codec(&map, shape, effort);
    let (mut scratch, mut packet) = (Scratch::default(), Vec::new());
    bencher.counter(BytesCount::of_slice(&map)).bench_local(|| {
        packet.clear();
        codec.compress(black_box(&map), &mut scratch, &mut packet).unwrap()
    });
}

#[divan::bench(args = PACKETS)]
fn decompress_packet(bencher: Bencher, (shape, effort): ([usize; 3], Effort)) {
    let map = relu_map(shape);
    let codec = tap_codec(&map, shape, effort);
    let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; map.len()]);
    codec.compress(&map, &mut scratch, &mut packet).unwrap();
    bencher
        .counter(BytesCount::of_slice(&map))
        .bench_local(|| codec.decompress(black_box(&packet), &mut scratch, &mut decoded).unwrap());
}
