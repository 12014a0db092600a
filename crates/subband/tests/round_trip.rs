//! Whole streams of every wavelet, dtype and size come back as promised.

use half::{bf16, f16};
use proptest::prelude::*;
use subband::{
    ChannelMask, Config, DType, DecompressOptions, Effort, ElementsMut, ErrorKind, Limits, NonFinite, Steps, Target,
    Tensor, TensorData, TensorView, Wavelet, compress, decompress, decompress_into, inspect, read, read_into, shape_of,
};

/// A ReLU-like map: smooth bumps, about half of the values zero. `seed` varies it.
fn relu_map(shape: &[usize], seed: u32) -> Vec<f32> {
    let width = shape[shape.len() - 1].max(1);
    let height = shape[shape.len() - 2].max(1);
    (0..shape.iter().product::<usize>())
        .map(|i| {
            let (x, y, c) = (i % width, i / width % height, i / width / height);
            let phase = (c as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) as f32 / 1e9;
            let noise = (i as u32).wrapping_mul(747_796_405).wrapping_add(seed) >> 16 & 0xff;
            ((x as f32 * 0.4 + phase).sin() + (y as f32 * 0.3 - phase).cos() + noise as f32 / 512.0 - 0.3).max(0.0)
        })
        .collect()
}

fn as_f32(tensor: &Tensor) -> Vec<f32> {
    match tensor.data() {
        TensorData::F32(x) => x.clone(),
        TensorData::F16(x) => x.iter().map(|v| v.to_f32()).collect(),
        TensorData::Bf16(x) => x.iter().map(|v| v.to_f32()).collect(),
        TensorData::U8(x) => x.iter().map(|&v| f32::from(v)).collect(),
        TensorData::I8(x) => x.iter().map(|&v| f32::from(v)).collect(),
        TensorData::U16(x) => x.iter().map(|&v| f32::from(v)).collect(),
        TensorData::I16(x) => x.iter().map(|&v| f32::from(v)).collect(),
    }
}

/// `map` as a tensor of a dtype; integers on a scale that uses some of their range.
fn tensor_of(dtype: DType, map: &[f32], shape: &[usize]) -> Tensor {
    let signed = |v: f32| v * 40.0 - 30.0;
    let data: TensorData = match dtype {
        DType::F32 => map.to_vec().into(),
        DType::F16 => map.iter().map(|&v| f16::from_f32(v)).collect::<Vec<_>>().into(),
        DType::Bf16 => map.iter().map(|&v| bf16::from_f32(v)).collect::<Vec<_>>().into(),
        DType::U8 => map.iter().map(|&v| (v * 80.0) as u8).collect::<Vec<_>>().into(),
        DType::I8 => map.iter().map(|&v| signed(v) as i8).collect::<Vec<_>>().into(),
        DType::U16 => map.iter().map(|&v| (v * 20_000.0) as u16).collect::<Vec<_>>().into(),
        DType::I16 => map.iter().map(|&v| (signed(v) * 300.0) as i16).collect::<Vec<_>>().into(),
    };
    Tensor::new(data, shape).unwrap()
}

fn levels_for(wavelet: Wavelet, levels: u8) -> u8 {
    if wavelet == Wavelet::None { 0 } else { levels }
}

#[test]
fn every_wavelet_and_dtype_meets_an_error_bound() {
    let shape = [2, 3, 13, 9];
    for wavelet in Wavelet::ALL {
        for dtype in DType::ALL {
            let tensor = tensor_of(dtype, &relu_map(&shape, 5), &shape);
            let bound = if dtype.is_integer() { 2.0 } else { 0.05 };
            let config =
                Config::default().with_wavelet(wavelet, levels_for(wavelet, 2)).with_target(Target::MaxError(bound));
            let compressed = compress(&tensor.view(), &config).unwrap();
            let decoded = decompress(&compressed.bytes, &DecompressOptions::default()).unwrap();
            assert_eq!((decoded.dtype(), decoded.shape()), (dtype, &shape[..]));
            let worst =
                as_f32(&tensor).iter().zip(as_f32(&decoded)).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
            assert!(worst <= bound, "{wavelet} {dtype}: {worst}");
            assert_eq!(
                worst,
                compressed.report.error.unwrap().max,
                "{wavelet} {dtype}: the report is what a decoder sees"
            );
            // The bound is used, not undercut by far.
            assert!(worst > bound / 3.0, "{wavelet} {dtype}: {worst}");
        }
    }
}

#[test]
fn targets_are_met_and_reported() {
    let shape = [1, 16, 32, 32];
    let map = relu_map(&shape, 1);
    let view = TensorView::new(&map, &shape).unwrap();
    let psnr = compress(&view, &Config::default().with_target(Target::Psnr(40.0))).unwrap();
    let reached = psnr.report.error.unwrap().psnr;
    assert!((40.0..40.2).contains(&reached), "{reached}");
    let bits = compress(&view, &Config::default().with_target(Target::BitsPerValue(1.5))).unwrap();
    assert_eq!(bits.report.bits_per_value, 8.0 * bits.bytes.len() as f64 / map.len() as f64);
    assert!((1.45..=1.5).contains(&bits.report.bits_per_value), "{}", bits.report.bits_per_value);
    let error = compress(&view, &Config::default().with_target(Target::BitsPerValue(0.001))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn empty_and_tiny_tensors() {
    for shape in [&[0, 4][..], &[4, 0], &[3, 0, 5], &[0, 3, 4, 4], &[1, 1], &[1, 7], &[7, 1], &[2, 2, 1, 1]] {
        for dtype in DType::ALL {
            let map = relu_map(shape, 3);
            let tensor = tensor_of(dtype, &map, shape);
            // Finer steps would take the u16 values beyond the 24 bits of an index.
            let compressed = compress(&tensor.view(), &Config::default().with_target(Target::Step(0.05))).unwrap();
            assert_eq!(compressed.report.saturated, 0);
            let decoded = decompress(&compressed.bytes, &DecompressOptions::default()).unwrap();
            assert_eq!((decoded.dtype(), decoded.shape()), (dtype, shape));
            for (a, b) in as_f32(&tensor).iter().zip(as_f32(&decoded)) {
                assert!((a - b).abs() < 0.08, "{shape:?} {dtype}: {a} {b}");
            }
            inspect(&compressed.bytes, &DecompressOptions::default()).unwrap();
        }
    }
    let error = TensorView::new(&[1.0f32][..], &[1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn non_finite_values_are_refused_or_replaced() {
    let mut map = relu_map(&[2, 3, 4, 5], 2);
    map[60 + 2 * 20 + 3 * 5 + 4] = f32::NEG_INFINITY;
    map[20 + 2 * 5 + 3] = f32::NAN;
    let view = TensorView::new(&map, &[2, 3, 4, 5]).unwrap();
    let error = compress(&view, &Config::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite);
    assert!(error.to_string().contains("[0, 1, 2, 3] is NaN"), "{error}");
    let policy = NonFinite::Replace { nan: 0.5, positive: 9.0, negative: -2.0 };
    let config = Config::default().with_non_finite(policy).with_target(Target::MaxError(0.01));
    let compressed = compress(&view, &config).unwrap();
    assert_eq!(compressed.report.replaced, 2);
    let decoded = as_f32(&decompress(&compressed.bytes, &DecompressOptions::default()).unwrap());
    assert!((decoded[33] - 0.5).abs() <= 0.01 && (decoded[119] + 2.0).abs() <= 0.01);
}

#[test]
fn saturation_is_reported() {
    let map = [0.0f32, 1.0, 1000.0, -1000.0];
    let config = Config::default().with_wavelet(Wavelet::None, 0).with_index_bits(8);
    let report = compress(&TensorView::new(&map[..], &[2, 2]).unwrap(), &config).unwrap().report;
    assert_eq!(report.saturated, 2);
    let huge = [f32::MAX; 16];
    let report = compress(&TensorView::new(&huge[..], &[4, 4]).unwrap(), &Config::default()).unwrap().report;
    assert!(report.saturated > 0);
}

#[test]
fn masks_drop_details_and_save_bits() {
    let shape = [4, 16, 16];
    let map = relu_map(&shape, 9);
    let view = TensorView::new(&map, &shape).unwrap();
    let config = Config::default().with_wavelet(Wavelet::Haar, 2).with_target(Target::Step(0.05));
    let mask = ChannelMask::keep_all(4, 2).unwrap().drop_details(1).drop_level(3, 1);
    let full = compress(&view, &config).unwrap();
    let masked = compress(&view, &config.with_mask(mask)).unwrap();
    assert!(masked.bytes.len() * 5 < full.bytes.len() * 4);
    let info = inspect(&masked.bytes, &DecompressOptions::default()).unwrap();
    assert_eq!(info.subbands.iter().map(|s| s.dropped).collect::<Vec<_>>(), [0, 16, 16, 16, 128, 128, 128]);
    // Channel 1 has only its approximation left: constant over 4x4 blocks.
    let decoded = as_f32(&decompress(&masked.bytes, &DecompressOptions::default()).unwrap());
    for y in 0..16 {
        for x in 0..16 {
            let (here, corner) = (decoded[256 + y * 16 + x], decoded[256 + y / 4 * 64 + x / 4 * 4]);
            assert!((here - corner).abs() < 1e-6);
        }
    }
    // An untouched channel decodes as without a mask.
    let unmasked = as_f32(&decompress(&full.bytes, &DecompressOptions::default()).unwrap());
    assert_eq!(decoded[..256], unmasked[..256]);
}

#[test]
fn inspected_bits_add_up_to_the_payload() {
    let shape = [16, 32, 32];
    let map = relu_map(&shape, 4);
    let config = Config::default().with_target(Target::Step(0.1));
    let compressed = compress(&TensorView::new(&map, &shape).unwrap(), &config).unwrap();
    let info = inspect(&compressed.bytes, &DecompressOptions::default()).unwrap();
    assert_eq!(info.values, map.len());
    assert_eq!(info.subbands.iter().map(|s| s.values).sum::<usize>(), map.len());
    let payload = 8.0 * (info.bytes - info.header_bytes - 4 * info.chunks) as f64;
    let bits: f64 = info.subbands.iter().map(|s| s.bits).sum();
    assert!(bits <= payload && payload < bits * 1.005 + 64.0, "{bits} {payload}");
}

#[test]
fn parts_are_read_without_the_rest() {
    let shape = [2, 2, 10, 8, 8];
    let map = relu_map(&shape, 6);
    let config = Config::default().with_channels_per_chunk(4).with_target(Target::Step(0.05));
    let mut compressed = compress(&TensorView::new(&map, &shape).unwrap(), &config).unwrap();
    let options = DecompressOptions::default();
    let whole = as_f32(&decompress(&compressed.bytes, &options).unwrap());
    let part = read(&compressed.bytes, 1..3, 3..9, &options).unwrap();
    assert_eq!(part.shape(), [2, 6, 8, 8]);
    let expected: Vec<f32> = [1, 2].iter().flat_map(|n| whole[(n * 10 + 3) * 64..(n * 10 + 9) * 64].to_vec()).collect();
    assert_eq!(as_f32(&part), expected);
    assert_eq!(read(&compressed.bytes, 2..2, 0..10, &options).unwrap().shape(), [0, 10, 8, 8]);
    assert_eq!(read(&compressed.bytes, 0..5, 0..1, &options).unwrap_err().kind(), ErrorKind::InvalidArgument);
    // Damage in the last chunk does not hurt the others.
    let last = compressed.bytes.len() - 6;
    compressed.bytes[last] ^= 1;
    assert_eq!(as_f32(&read(&compressed.bytes, 1..3, 3..9, &options).unwrap()), expected);
    assert_eq!(decompress(&compressed.bytes, &options).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn memory_of_the_caller_is_decoded_into() {
    let map = relu_map(&[3, 10, 8, 8], 5);
    let view = TensorView::new(&map, &[3, 10, 8, 8]).unwrap();
    let config = Config::default().with_target(Target::Step(0.1)).with_channels_per_chunk(4);
    let bytes = compress(&view, &config).unwrap().bytes;
    let options = DecompressOptions::default();
    let found = shape_of(&bytes, &Limits::default()).unwrap();
    assert_eq!((found.dtype, &found.shape[..], found.chunks), (DType::F32, &[3, 10, 8, 8][..], 9));
    assert!(!found.from_profile);

    let mut out = vec![f32::NAN; map.len()];
    decompress_into(&bytes, &mut ElementsMut::F32(&mut out), &options).unwrap();
    assert_eq!(out, as_f32(&decompress(&bytes, &options).unwrap()));
    let mut part = vec![f32::NAN; 2 * 6 * 64];
    read_into(&bytes, 1..3, 3..9, &mut ElementsMut::F32(&mut part), &options).unwrap();
    assert_eq!(part, as_f32(&read(&bytes, 1..3, 3..9, &options).unwrap()));

    let kind = |error: subband::Error| error.kind();
    let too_short = decompress_into(&bytes, &mut ElementsMut::F32(&mut part), &options).map_err(kind);
    assert_eq!(too_short, Err(ErrorKind::InvalidArgument));
    let other_dtype = decompress_into(&bytes, &mut ElementsMut::I16(&mut vec![0; map.len()]), &options).map_err(kind);
    assert_eq!(other_dtype, Err(ErrorKind::InvalidArgument));
    for length in 0..bytes.len() - 1 {
        if let Err(error) = shape_of(&bytes[..length], &Limits::default()) {
            assert_eq!(error.kind(), ErrorKind::Truncated, "{length}");
        }
    }
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let shape = [3, 40, 24, 24];
    let map = relu_map(&shape, 8);
    let config = Config::default().with_channels_per_chunk(7).with_target(Target::Psnr(35.0));
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compress(&TensorView::new(&map, &shape).unwrap(), &config).unwrap())
    };
    let (one, four) = (run(1), run(4));
    assert_eq!(one, four);
}

#[test]
fn strided_views_give_the_same_bytes() {
    // NHWC memory seen as NCHW.
    let (n, c, h, w) = (2, 5, 6, 7);
    let map = relu_map(&[n, c, h, w], 11);
    let mut nhwc = vec![0.0; map.len()];
    for (i, &value) in map.iter().enumerate() {
        let (x, y, channel, item) = (i % w, i / w % h, i / w / h % c, i / w / h / c);
        nhwc[((item * h + y) * w + x) * c + channel] = value;
    }
    let strides = [(h * w * c) as isize, 1, (w * c) as isize, c as isize];
    let strided = TensorView::with_strides(&nhwc, &[n, c, h, w], &strides, 0).unwrap();
    let config = Config::default().with_target(Target::Step(0.1));
    let dense = TensorView::new(&map, &[n, c, h, w]).unwrap();
    assert_eq!(compress(&strided, &config).unwrap(), compress(&dense, &config).unwrap());
}

#[test]
fn bad_settings_name_the_value_and_the_range() {
    let map = [0.0f32; 16];
    let view = TensorView::new(&map[..], &[4, 4]).unwrap();
    let message = |config: Config| compress(&view, &config).unwrap_err().to_string();
    assert!(message(Config::default().with_wavelet(Wavelet::Haar, 9)).contains("levels is 9: allowed are 0 to 8"));
    assert!(message(Config::default().with_wavelet(Wavelet::None, 1)).contains("levels is 1"));
    assert!(message(Config::default().with_target(Target::Step(f32::NAN))).contains("step is NaN"));
    assert!(message(Config::default().with_target(Target::Step(-1.0))).contains("step is -1"));
    assert!(message(Config::default().with_target(Target::MaxError(0.0))).contains("max_error is 0"));
    assert!(message(Config::default().with_rounding(0.6)).contains("rounding is 0.6: allowed are 0 to 0.5"));
    assert!(message(Config::default().with_index_bits(25)).contains("index_bits is 25: allowed are 2 to 24"));
    let steps = Target::Steps(Steps::PerSubband(vec![1.0; 3]));
    assert!(message(Config::default().with_target(steps)).contains("3 steps were given"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn integers_come_back_exactly(
        shape in prop::collection::vec(0usize..9, 2..5), which in 0usize..3, levels in 0u8..=8,
        dtype in 3usize..7, chunk in 1usize..4, bits in any::<u64>(), narrow in 0u32..16,
    ) {
        let wavelet = [Wavelet::None, Wavelet::Haar, Wavelet::LeGall53][which];
        let count: usize = shape.iter().product();
        let values = (0..count as u64).map(|i| ((i + 1).wrapping_mul(bits | 1) >> 40 >> narrow) as u16);
        let data: TensorData = match DType::ALL[dtype] {
            DType::U8 => values.map(|v| v as u8).collect::<Vec<_>>().into(),
            DType::I8 => values.map(|v| v as i8).collect::<Vec<_>>().into(),
            DType::U16 => values.collect::<Vec<_>>().into(),
            _ => values.map(|v| v as i16).collect::<Vec<_>>().into(),
        };
        let tensor = Tensor::new(data, &shape).unwrap();
        let config = Config::default()
            .with_wavelet(wavelet, levels_for(wavelet, levels))
            .with_channels_per_chunk(chunk)
            .with_target(Target::Lossless);
        let compressed = compress(&tensor.view(), &config).unwrap();
        let decoded = decompress(&compressed.bytes, &DecompressOptions::default()).unwrap();
        prop_assert_eq!(decoded, tensor);
    }

    #[test]
    fn errors_stay_within_the_quantizer(
        shape in prop::collection::vec(1usize..24, 2..5), which in 0usize..5, levels in 0u8..=8,
        step in 1e-3f32..10.0, seed in any::<u32>(), offset in -5.0f32..5.0,
    ) {
        let wavelet = Wavelet::ALL[which];
        let map: Vec<f32> = relu_map(&shape, seed).iter().map(|v| v * 3.0 + offset).collect();
        let config = Config::default()
            .with_wavelet(wavelet, levels_for(wavelet, levels))
            .with_measure_error(true)
            .with_target(Target::Step(step));
        let view = TensorView::new(&map, &shape).unwrap();
        let compressed = compress(&view, &config).unwrap();
        let decoded = as_f32(&decompress(&compressed.bytes, &DecompressOptions::default()).unwrap());
        let squares: f64 = map.iter().zip(&decoded).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let rmse = (squares / map.len() as f64).sqrt();
        prop_assert!((rmse * rmse - compressed.report.error.unwrap().mse).abs() <= 1e-6 * rmse.max(1e-3));
        // Half a step in every coefficient is the worst an orthonormal transform can show; the
        // biorthogonal ones and mirrored borders exceed it by less than a factor of two.
        prop_assert!(rmse <= f64::from(step) + 1e-4, "{} {}", rmse, step);
    }
}

#[test]
fn optimised_indices_take_fewer_bytes_and_still_meet_a_target() {
    let values: Vec<f32> =
        (0..4 * 40 * 40).map(|i| ((i as f32 * 0.11).sin() + (i % 7) as f32 * 0.2).max(0.0)).collect();
    let view = TensorView::new(&values, &[4, 40, 40]).unwrap();
    for effort in Effort::ALL {
        let config = Config::default().with_target(Target::Step(0.3)).with_effort(effort);
        let plain = compress(&view, &config).unwrap().bytes;
        let optimised = compress(&view, &config.clone().with_rdo(0.15)).unwrap().bytes;
        assert!(optimised.len() < plain.len(), "{effort}: {} {}", optimised.len(), plain.len());
        decompress(&optimised, &DecompressOptions::default()).unwrap();
        let bounded = config.with_target(Target::MaxError(0.1)).with_rdo(0.15);
        assert!(compress(&view, &bounded).unwrap().report.error.unwrap().max <= 0.1);
    }
    let error = compress(&view, &Config::default().with_rdo(11.0)).unwrap_err();
    assert!(error.to_string().contains("11") && error.to_string().contains("0 to 10"), "{error}");
}

/// The model of a large tensor is fitted to some of its chunks, which here lack most kinds of its channels.
#[test]
fn default_effort_is_no_larger_than_fast_where_channels_differ() {
    let shape = [60, 64, 64];
    let mut map = relu_map(&shape, 3);
    for (channel, plane) in map.chunks_exact_mut(64 * 64).enumerate() {
        // Chunks are of 16 channels, and every second one is looked at.
        let scale = match channel {
            16..32 => 0.0,
            0 | 32 => 3.0,
            48.. => 8.0,
            _ => 0.2,
        };
        plane.iter_mut().for_each(|value| *value *= scale);
    }
    let tensor = Tensor::new(map, &shape).unwrap();
    // With channels that are not looked at taken as any others, Haar took 0.956.
    for (wavelet, levels, most) in [(Wavelet::None, 0, 1.0), (Wavelet::Haar, 2, 0.93)] {
        let config = Config::default().with_wavelet(wavelet, levels).with_target(Target::Step(0.5));
        let [fast, default] = [Effort::Fast, Effort::Default]
            .map(|effort| compress(&tensor.view(), &config.clone().with_effort(effort)).unwrap().bytes.len());
        assert!(default as f64 <= fast as f64 * most, "{wavelet}: fast {fast}, default {default} bytes");
    }
}
