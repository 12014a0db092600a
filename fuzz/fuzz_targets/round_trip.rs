//! Any map and any settings: with each set of kernels the same bytes, which decode to the same values, with all sets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subband::{
    Config, DecompressOptions, Effort, Target, Tensor, TensorData, Wavelet, compress, decompress, force_kernel,
};

fuzz_target!(|data: &[u8]| {
    let [wavelet, levels, flags, channels, height, width, step, values @ ..] = data else { return };
    if values.is_empty() {
        return;
    }
    let shape = [channels, height, width].map(|&size| usize::from(size) % 40 + 1);
    let wavelets = [Wavelet::None, Wavelet::Haar, Wavelet::LeGall53, Wavelet::Cdf97, Wavelet::Db2];
    let wavelet = wavelets[usize::from(*wavelet) % wavelets.len()];
    let levels = if wavelet == Wavelet::None { 0 } else { levels % 8 + 1 };
    // Small values as they are, and now and then a large one.
    let value = |i: usize| match values[i % values.len()] as i8 {
        127 => 3e4,
        -128 => -3e4,
        small => f32::from(small) * (1.0 + (i / values.len()) as f32 / 64.0) / 8.0,
    };
    let map: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    let target = match flags >> 2 & 3 {
        0 => Target::Lossless,
        1 => Target::Step((f32::from(*step) + 1.0) / 4096.0),
        _ => Target::Step((f32::from(*step) + 1.0) / 64.0),
    };
    let config = match target {
        Target::Lossless => Config::default(),
        _ => Config::default().with_wavelet(wavelet, levels).with_rdo(if flags & 16 != 0 { 0.1 } else { 0.0 }),
    };
    let config = config
        .with_target(target)
        .with_effort(if flags & 1 == 0 { Effort::Fast } else { Effort::Default })
        .with_channels_per_chunk(if flags & 2 == 0 { 1 } else { shape[0] });
    let tensor = Tensor::new(map, &shape).expect("the shape is right");
    let mut first: Option<(Vec<u8>, Vec<u32>)> = None;
    for kernel in ["portable", "avx2", "avx512"] {
        // Those that this CPU has.
        if !force_kernel(kernel) {
            continue;
        }
        let Ok(compressed) = compress(&tensor.view(), &config) else { return };
        let decoded = decompress(&compressed.bytes, &DecompressOptions::default()).expect("what was coded decodes");
        let TensorData::F32(decoded) = decoded.data() else { panic!("another dtype") };
        let bits: Vec<u32> = decoded.iter().map(|value| value.to_bits()).collect();
        match &first {
            None => first = Some((compressed.bytes, bits)),
            Some((bytes, values)) => {
                assert!(*bytes == compressed.bytes, "{kernel} writes other bytes");
                assert!(*values == bits, "{kernel} decodes other values");
            }
        }
    }
});
