//! Floats without loss: every bit comes back, of every dtype, shape and kind of value.

use half::{bf16, f16};
use proptest::prelude::*;
use subband::{
    Config, DType, DecompressOptions, Effort, ErrorKind, Limits, Target, Tensor, TensorData, TensorView, Wavelet,
    compress, decompress, inspect, read, shape_of,
};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::Bf16];

fn lossless() -> Config {
    Config::default().with_target(Target::Lossless)
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    match tensor.data() {
        TensorData::F32(x) => x.iter().map(|v| v.to_bits()).collect(),
        TensorData::F16(x) => x.iter().map(|v| v.to_bits().into()).collect(),
        TensorData::Bf16(x) => x.iter().map(|v| v.to_bits().into()).collect(),
        _ => unreachable!("floats only"),
    }
}

fn from_bits(dtype: DType, bits: &[u32], shape: &[usize]) -> Tensor {
    let data: TensorData = match dtype {
        DType::F32 => bits.iter().map(|&b| f32::from_bits(b)).collect::<Vec<_>>().into(),
        DType::F16 => bits.iter().map(|&b| f16::from_bits(b as u16)).collect::<Vec<_>>().into(),
        _ => bits.iter().map(|&b| bf16::from_bits(b as u16)).collect::<Vec<_>>().into(),
    };
    Tensor::new(data, shape).unwrap()
}

/// Rectified noise with a smooth envelope, as bits of `dtype`.
fn relu_bits(dtype: DType, count: usize, seed: u32) -> Vec<u32> {
    let mut state = seed;
    (0..count)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
            let value = (noise * (1.0 + (i as f32 / 40.0).sin())).max(0.0);
            match dtype {
                DType::F32 => value.to_bits(),
                DType::F16 => f16::from_f32(value).to_bits().into(),
                _ => bf16::from_f32(value).to_bits().into(),
            }
        })
        .collect()
}

#[track_caller]
fn round_trip(tensor: &Tensor, config: &Config) -> Vec<u8> {
    let compressed = compress(&tensor.view(), config).unwrap();
    assert_eq!(compressed.report.bytes, compressed.bytes.len());
    let decoded = decompress(&compressed.bytes, &DecompressOptions::default()).unwrap();
    assert_eq!((decoded.dtype(), decoded.shape()), (tensor.dtype(), tensor.shape()));
    assert!(bits(&decoded) == bits(tensor), "other bits came back");
    inspect(&compressed.bytes, &DecompressOptions::default()).unwrap();
    compressed.bytes
}

#[test]
fn every_half_comes_back() {
    let all: Vec<u32> = (0..1 << 16).collect();
    for dtype in [DType::F16, DType::Bf16] {
        round_trip(&from_bits(dtype, &all, &[16, 64, 64]), &lossless());
        round_trip(&from_bits(dtype, &all, &[1, 1 << 16]), &lossless());
    }
}

#[test]
fn special_values_among_common_ones() {
    let special = [
        0x8000_0000u32, // -0.0
        0x7f80_0000,    // infinities
        0xff80_0000,
        0x7fc0_0000, // NaN, quiet and signalling, with payloads
        0xffc0_0001,
        0x7fa1_2345,
        0xff80_0001,
        1, // subnormals
        0x8000_0001,
        0x007f_ffff,
        0x7f7f_ffff, // largest
        0x0080_0000, // smallest normal
    ];
    for stride in [1, 7, 1000] {
        let mut values = relu_bits(DType::F32, 3 * 40 * 50, 7);
        for (i, value) in values.iter_mut().step_by(stride).enumerate() {
            *value = special[i % special.len()];
        }
        round_trip(&from_bits(DType::F32, &values, &[3, 40, 50]), &lossless());
    }
}

#[test]
fn odd_shapes_ranks_and_empty_tensors() {
    let shapes: [&[usize]; 14] = [
        &[1, 1],
        &[1, 7],
        &[7, 1],
        &[5000, 1],
        &[1, 5000],
        &[2, 3, 5, 7],
        &[3, 2, 2, 3, 5, 4],
        &[2, 70, 9, 11],
        &[9, 33, 31],
        &[0, 4],
        &[4, 0],
        &[0, 3, 4, 4],
        &[3, 0, 4],
        &[2, 300, 1, 1],
    ];
    for shape in shapes {
        for dtype in FLOATS {
            let values = relu_bits(dtype, shape.iter().product(), 3);
            let tensor = from_bits(dtype, &values, shape);
            let stream = round_trip(&tensor, &lossless());
            let one_chunk = shape_of(&stream, &Limits::default()).unwrap().chunks == 1;
            assert_eq!(stream[4], if one_chunk { 6 } else { 2 }, "the format version of lossless floats");
            round_trip(&tensor, &lossless().with_channels_per_chunk(2));
        }
    }
}

#[test]
fn integers_and_lossy_streams_stay_in_version_1() {
    // One chunk is of version 6.
    for (shape, version) in [([2, 1, 8, 4], 1), ([1, 1, 8, 8], 6)] {
        let map = [1.0f32; 64];
        let view = TensorView::new(&map[..], &shape).unwrap();
        let fast = |config: Config| config.with_effort(Effort::Fast);
        assert_eq!(compress(&view, &fast(Config::default())).unwrap().bytes[4], version);
        let bytes = [1u8; 64];
        assert_eq!(
            compress(&TensorView::new(&bytes[..], &shape).unwrap(), &fast(lossless())).unwrap().bytes[4],
            version
        );
    }
}

#[test]
fn transforms_and_policies_mean_nothing() {
    let mut values = relu_bits(DType::F32, 600, 1);
    values[17] = f32::NAN.to_bits();
    let tensor = from_bits(DType::F32, &values, &[20, 30]);
    let plain = round_trip(&tensor, &lossless());
    assert_eq!(round_trip(&tensor, &lossless().with_wavelet(Wavelet::Cdf97, 4)), plain);
}

#[test]
fn structure_is_found() {
    let shape = [32, 32, 32];
    let count = 32 * 32 * 32;
    let size = |values: &[u32]| round_trip(&from_bits(DType::F32, values, &shape), &lossless()).len();
    let noise = relu_bits(DType::F32, count, 9);
    let full = size(&noise);
    // bf16 in f32: 16 bits fewer for every value that is not zero.
    let nonzero = noise.iter().filter(|&&v| v != 0).count();
    let short = size(&noise.iter().map(|v| v & 0xffff_0000).collect::<Vec<_>>());
    assert!(short + 2 * nonzero < full + full / 50, "{short} {full}");
    // Integers as f32, and the same times a scale whose product has all mantissa bits: as small as bytes.
    let integers: Vec<f32> = noise.iter().map(|&v| (f32::from_bits(v) * 255.0).floor()).collect();
    let small = size(&integers.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
    assert!(small * 8 < count * 6, "{small}");
    let scaled = size(&integers.iter().map(|v| (v * 0.012_345_679).to_bits()).collect::<Vec<_>>());
    assert!(scaled < small + 1200, "{scaled} {small}");
    // Signs of both kinds cost a bit a value, not an escape.
    let signed: Vec<u32> = noise.iter().enumerate().map(|(i, &v)| if i % 3 == 0 { v | 1 << 31 } else { v }).collect();
    assert!(size(&signed) < full + count / 6, "{full}");
    // A constant costs nothing but its header.
    assert!(size(&vec![0; count]) < 96);
    assert!(size(&vec![f32::NAN.to_bits(); count]) < 96);
}

#[test]
fn parts_are_read_without_the_rest() {
    let shape = [2, 2, 10, 8, 9];
    let values = relu_bits(DType::F16, shape.iter().product(), 6);
    let tensor = from_bits(DType::F16, &values, &shape);
    let mut stream = compress(&tensor.view(), &lossless().with_channels_per_chunk(4)).unwrap().bytes;
    let options = DecompressOptions::default();
    let part = read(&stream, 1..3, 3..9, &options).unwrap();
    assert_eq!(part.shape(), [2, 6, 8, 9]);
    let expected: Vec<u32> =
        [1, 2].iter().flat_map(|n| values[(n * 10 + 3) * 72..(n * 10 + 9) * 72].to_vec()).collect();
    assert_eq!(bits(&part), expected);
    assert_eq!(read(&stream, 2..2, 0..10, &options).unwrap().shape(), [0, 10, 8, 9]);
    // Damage in the last chunk does not hurt the others.
    let last = stream.len() - 6;
    stream[last] ^= 1;
    assert_eq!(bits(&read(&stream, 1..3, 3..9, &options).unwrap()), expected);
    assert_eq!(decompress(&stream, &options).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn bytes_do_not_depend_on_threads() {
    let shape = [3, 40, 24, 24];
    let tensor = from_bits(DType::F32, &relu_bits(DType::F32, shape.iter().product(), 8), &shape);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compress(&tensor.view(), &lossless().with_channels_per_chunk(7)).unwrap())
    };
    assert_eq!(run(1), run(4));
}

#[test]
fn strided_views_give_the_same_bytes() {
    let (n, c, h, w) = (2, 5, 6, 7);
    let map: Vec<f32> = relu_bits(DType::F32, n * c * h * w, 11).into_iter().map(f32::from_bits).collect();
    let mut nhwc = vec![0.0; map.len()];
    for (i, &value) in map.iter().enumerate() {
        let (x, y, channel, item) = (i % w, i / w % h, i / w / h % c, i / w / h / c);
        nhwc[((item * h + y) * w + x) * c + channel] = value;
    }
    let strides = [(h * w * c) as isize, 1, (w * c) as isize, c as isize];
    let strided = TensorView::with_strides(&nhwc, &[n, c, h, w], &strides, 0).unwrap();
    let dense = TensorView::new(&map, &[n, c, h, w]).unwrap();
    assert_eq!(compress(&strided, &lossless()).unwrap(), compress(&dense, &lossless()).unwrap());
}

#[test]
fn inspected_bits_add_up_to_the_payload() {
    let tensor = from_bits(DType::F32, &relu_bits(DType::F32, 16 * 32 * 32, 4), &[16, 32, 32]);
    let compressed = compress(&tensor.view(), &lossless()).unwrap();
    let info = inspect(&compressed.bytes, &DecompressOptions::default()).unwrap();
    assert!(info.lossless && info.tables > 0 && info.wavelet == Wavelet::None);
    let [tokens, raw] = info.subbands.as_slice() else { panic!("{:?}", info.subbands) };
    assert_eq!((tokens.name.as_str(), tokens.values, raw.name.as_str()), ("tokens", info.values, "raw bits"));
    assert_eq!(raw.values, info.values - tokens.zeros);
    assert_eq!(compressed.report.zeros, tokens.zeros as f64 / info.values as f64);
    assert_eq!(tokens.bits + raw.bits, 8.0 * (info.bytes - info.header_bytes - 4 * info.chunks) as f64);
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let zeros = [0f32; 64 * 64];
    let stream = compress(&TensorView::new(&zeros[..], &[64, 64]).unwrap(), &lossless()).unwrap().bytes;
    let options = DecompressOptions::default().with_limits(Limits::default().with_max_values(4095));
    assert_eq!(decompress(&stream, &options).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

/// Bits of many kinds: noise, few distinct values, short mantissas, integers, mostly zeros.
fn any_values() -> impl Strategy<Value = Vec<u32>> {
    let value = prop_oneof![
        any::<u32>().boxed(),
        (0u32..6).prop_map(|i| (i as f32 * 0.3).to_bits()).boxed(),
        any::<u16>().prop_map(|high| u32::from(high) << 16).boxed(),
        (-300i32..300).prop_map(|i| (i as f32).to_bits()).boxed(),
        prop_oneof![9 => Just(0u32), 1 => 0x3f00_0000u32..0x4000_0000].boxed(),
    ];
    (0usize..5, prop::collection::vec((value, 0usize..5), 1..200))
        .prop_map(|(_, values)| values.into_iter().map(|(value, _)| value).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bits_come_back(
        shape in prop::collection::vec(0usize..20, 2..5), dtype in 0usize..3, values in any_values(),
        kinds in prop::sample::select(vec![0u8, 1, 2, 3]), chunk in 1usize..4,
    ) {
        let count: usize = shape.iter().product();
        let dtype = FLOATS[dtype];
        let values: Vec<u32> = (0..count)
            .map(|i| {
                let value = values[i * 7 % values.len()];
                let value = match kinds {
                    0 => value,
                    1 => value & 0xffff_0000,
                    2 => (value % 50) as f32 as u32,
                    _ => (f32::from((value >> 20) as u16) * 0.7).to_bits(),
                };
                if dtype == DType::F32 { value } else { value >> 16 }
            })
            .collect();
        let tensor = from_bits(dtype, &values, &shape);
        let config = lossless().with_channels_per_chunk(chunk);
        let stream = compress(&tensor.view(), &config).unwrap().bytes;
        let decoded = decompress(&stream, &DecompressOptions::default()).unwrap();
        prop_assert_eq!(bits(&decoded), values);
    }
}
