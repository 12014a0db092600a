//! Golden files: streams, packets and profiles of every released format version decode to the same
//! values, and the current version still writes the same bytes.
//!
//! `SUBBAND_BLESS=1 cargo test -p subband --test golden` writes the files of the newest version anew;
//! only a change of format does that, with a new version and a new folder.

use std::fs;
use std::path::PathBuf;

use half::{bf16, f16};
use subband::{
    ChannelMask, Coding, Config, DecompressOptions, Effort, Limits, Profile, ProfileOptions, Scratch, Steps,
    TapCalibrator, TapCodec, Target, Tensor, TensorData, TensorView, Wavelet, compress, compress_with_profile,
    decompress,
};

/// A file of the folder of its version, such as `v1/haar-f32.sbd`.
fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The bytes of a golden file, after `current` was written there if asked for. Files of versions before stay as they are.
fn stored(name: &str, current: &[u8]) -> Vec<u8> {
    if name.starts_with("v6/") && std::env::var_os("SUBBAND_BLESS").is_some() {
        fs::create_dir_all(golden(name).parent().unwrap()).unwrap();
        fs::write(golden(name), current).unwrap();
    }
    fs::read(golden(name)).unwrap()
}

/// Exact in every dtype's range after scaling, and made without a math library.
fn map(count: usize) -> Vec<f32> {
    let mut state = 12_345u32;
    (0..count)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 24) as f32 / 256.0;
            let ramp = (i % 13) as f32 / 4.0 - 1.0;
            (ramp + noise - 0.75).max(0.0)
        })
        .collect()
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    match tensor.data() {
        TensorData::F32(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::F16(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::Bf16(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::U8(x) => x.clone(),
        TensorData::I8(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::U16(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
        TensorData::I16(x) => x.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// Coded fast, as all of version 1. `name` is the folder of the version and the file.
fn check(name: &str, tensor: &Tensor, config: &Config) {
    check_effort(Effort::Fast, name, tensor, config);
}

fn check_effort(effort: Effort, name: &str, tensor: &Tensor, config: &Config) {
    let stream = compress(&tensor.view(), &config.clone().with_effort(effort)).unwrap().bytes;
    let decode = |stream: &[u8]| {
        let decoded = decompress(stream, &DecompressOptions::default()).unwrap();
        assert_eq!((decoded.dtype(), decoded.shape()), (tensor.dtype(), tensor.shape()));
        bytes_of(&decoded)
    };
    let decoded = decode(&stored_as(name, &stream));
    assert_eq!(decoded, stored(&format!("{name}.raw"), &decoded), "{name}: other values are decoded");
    let of_the_version = fs::read(golden(&format!("{name}.sbd"))).unwrap();
    assert_eq!(decode(&of_the_version), decoded, "{name}: other values than in the version before");
    assert!(stream.len() <= of_the_version.len(), "{name}: more bytes than in the version before");
}

/// The golden file of a stream that is written now, which has the same bytes: `name`, or, where what was in that file is
/// written in version 6 now, the one of that version.
fn stored_as(name: &str, stream: &[u8]) -> Vec<u8> {
    let name = match stream[4] {
        6 if !name.starts_with("v6/") => format!("v6/{}", name.replace('/', "-")),
        _ => name.to_owned(),
    };
    let golden = stored(&format!("{name}.sbd"), stream);
    assert_eq!(stream, golden, "{name}: other bytes are written than in this version's golden file");
    golden
}

#[test]
fn self_contained_streams() {
    let shape = [2, 3, 11, 7];
    let values = map(2 * 3 * 11 * 7);
    let tensor = |data: TensorData| Tensor::new(data, &shape).unwrap();
    let step = |wavelet, levels, step| Config::default().with_wavelet(wavelet, levels).with_target(Target::Step(step));
    let f32s = tensor(values.clone().into());
    check("v1/none-f32", &f32s, &step(Wavelet::None, 0, 0.125));
    check("v1/haar-f32", &f32s, &step(Wavelet::Haar, 3, 0.25).with_channels_per_chunk(2));
    check("v1/legall53-f32", &f32s, &step(Wavelet::LeGall53, 2, 0.25));
    check("v1/cdf97-f32", &f32s, &step(Wavelet::Cdf97, 2, 0.01).with_reconstruction(0.125));
    check("v1/db2-f32", &f32s, &step(Wavelet::Db2, 3, 0.25));
    let steps: Vec<Vec<f32>> = (0..3).map(|c| (0..7).map(|b| 0.1 + 0.05 * (b + c) as f32).collect()).collect();
    let mask = ChannelMask::keep_all(3, 2).unwrap().drop_level(0, 1).drop_details(2);
    let config = step(Wavelet::Haar, 2, 1.0).with_target(Target::Steps(Steps::PerChannel(steps))).with_mask(mask);
    let halves: Vec<f16> = values.iter().map(|&v| f16::from_f32(v)).collect();
    check("v1/mask-f16", &tensor(halves.into()), &config);
    let brains: Vec<bf16> = values.iter().map(|&v| bf16::from_f32(v)).collect();
    check("v1/haar-bf16", &tensor(brains.into()), &step(Wavelet::Haar, 1, 0.25));
    let bytes: Vec<u8> = values.iter().map(|&v| (v * 90.0) as u8).collect();
    check("v1/haar-u8-lossy", &tensor(bytes.clone().into()), &step(Wavelet::Haar, 2, 6.0));

    let lossless = |wavelet, levels| step(wavelet, levels, 1.0).with_target(Target::Lossless);
    check("v1/haar-u8-lossless", &tensor(bytes.into()), &lossless(Wavelet::Haar, 3));
    let signed: Vec<i8> = values.iter().map(|&v| (v * 50.0) as i8 - 60).collect();
    check("v1/none-i8-lossless", &tensor(signed.into()), &lossless(Wavelet::None, 0));
    let words: Vec<u16> = values.iter().map(|&v| (v * 20_000.0) as u16).collect();
    check("v1/legall53-u16-lossless", &tensor(words.into()), &lossless(Wavelet::LeGall53, 2));
    let shorts: Vec<i16> = values.iter().map(|&v| (v * 9000.0) as i16 - 10_000).collect();
    check("v1/haar-i16-lossless", &tensor(shorts.into()), &lossless(Wavelet::Haar, 8));
    check("v1/empty-f32", &Tensor::new(Vec::<f32>::new(), &[3, 0, 4]).unwrap(), &step(Wavelet::Haar, 1, 1.0));
    // Long enough for 32 lanes, and for the 64 of version 6.
    let long = |channels| Tensor::new(map(channels * 128 * 128), &[channels, 128, 128]).unwrap();
    check("v1/lanes-32-f32", &long(2), &step(Wavelet::Haar, 2, 0.02));
    check("v6/lanes-f32", &long(4), &step(Wavelet::Haar, 2, 0.02));
}

/// Encoders before tables were counted by groups of channels wrote another stream for a mask, and those before version 6 had at most
/// 32 lanes.
#[test]
fn streams_of_earlier_encoders() {
    for (stream, values) in
        [("v1/earlier/mask-f16.sbd", "v1/mask-f16.raw"), ("v1/earlier/lanes-f32.sbd", "v6/lanes-f32.raw")]
    {
        let stream = fs::read(golden(stream)).unwrap();
        let decoded = decompress(&stream, &DecompressOptions::default()).unwrap();
        assert!(bytes_of(&decoded) == fs::read(golden(values)).unwrap(), "{values}");
    }
}

/// Version 2 added floats without loss.
#[test]
fn lossless_floats() {
    let shape = [2, 3, 11, 7];
    let config = Config::default().with_target(Target::Lossless).with_channels_per_chunk(2);
    let mut state = 1u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    // Mantissas of their own for all values, and some values that have no token.
    let mut values = map(2 * 3 * 11 * 7);
    values.iter_mut().filter(|v| **v > 0.0).for_each(|v| *v *= 1.0 + noise() as f32 / (1u32 << 25) as f32);
    let specials =
        [0x8000_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0001, 0xffa0_1234, 1, 0x0080_0000].map(f32::from_bits);
    values[20..27].copy_from_slice(&specials);
    let tensor = |data: TensorData| Tensor::new(data, &shape).unwrap();
    check("v2/floats-f32", &tensor(values.clone().into()), &config);
    let halves: Vec<f16> = values.iter().map(|&v| f16::from_bits((v.to_bits() >> 13) as u16)).collect();
    check("v2/floats-f16", &tensor(halves.into()), &config);
    let brains: Vec<bf16> = values.iter().map(|&v| bf16::from_bits((v.to_bits() >> 16) as u16)).collect();
    check("v2/floats-bf16", &tensor(brains.clone().into()), &config);
    // Dropped bits: bf16 in f32.
    check("v2/floats-short", &tensor(brains.iter().map(|v| v.to_f32()).collect::<Vec<f32>>().into()), &config);
    // Both signs, on a grid.
    let integers: Vec<f32> = (0..2 * 3 * 11 * 7).map(|_| (noise() % 600) as f32 - 200.0).collect();
    check("v2/floats-grid", &tensor(integers.into()), &config);
    let few: Vec<f32> = (0..2 * 3 * 11 * 7).map(|_| [0.0, 0.3, -0.3, 1.7, 2.9][noise() as usize % 5]).collect();
    check("v2/floats-palette", &tensor(few.into()), &config);
    check("v2/floats-empty", &Tensor::new(Vec::<f32>::new(), &[3, 0, 4]).unwrap(), &config);
    // Long enough for eight lanes, which get different numbers of rows.
    let long: Vec<f32> = map(3 * 37 * 41).iter().map(|v| v * (1.0 + noise() as f32 / (1u32 << 25) as f32)).collect();
    check("v2/floats-lanes", &Tensor::new(long, &[3, 37, 41]).unwrap(), &config.with_channels_per_chunk(3));
}

#[test]
fn profiles_packets_and_their_streams() {
    profile_files("v1", Effort::Default, true, |_, _| {});
}

/// Version 3 added mixing models. They are trained in floats, so a machine with another exponential function makes others:
/// what counts is that the stored one codes the same everywhere.
#[test]
fn mixing_models() {
    profile_files("v3", Effort::Max, false, |calibrator, map| {
        let (mut scratch, mut decoded) = (Scratch::default(), vec![0.0; map.len()]);
        calibrator.observe(map, &mut scratch, &mut decoded).unwrap();
        let kept = vec![calibrator.indices(&scratch); 20];
        calibrator.fit();
        calibrator.train_max(&kept, 1, &mut |_, _| {});
        calibrator.observe(map, &mut scratch, &mut decoded).unwrap();
    });
    assert_eq!(fs::read(golden("v3/layer1.0.packet")).unwrap()[0], 0xB4);
}

/// Version 2 added activity models. Only what a profile holds is still coded with them.
#[test]
fn activity_models() {
    let stream = fs::read(golden("v2/activity-f32.sbd")).unwrap();
    let decoded = decompress(&stream, &DecompressOptions::default()).unwrap();
    assert_eq!(bytes_of(&decoded), fs::read(golden("v2/activity-f32.raw")).unwrap());
    profile_files("v2", Effort::Default, false, |_, _| {});
}

/// Version 4 added spread models. Those of profiles are fitted in floats, as mixing models are; those of streams are not.
#[test]
fn spread_models() {
    let long = Tensor::new(map(4 * 128 * 128), &[2, 2, 128, 128]).unwrap();
    let config = Config::default().with_target(Target::Step(0.125)).with_channels_per_chunk(1);
    check_effort(Effort::Default, "v4/spread-f32", &long, &config);
    assert_eq!(fs::read(golden("v4/spread-f32.sbd")).unwrap()[4], 4, "the model pays for itself here");
    let short = Tensor::new(map(5 * 9 * 14), &[5, 9, 14]).unwrap();
    check_effort(Effort::Default, "v4/spread-short-f32", &short, &Config::default().with_target(Target::Step(0.125)));
    profile_files("v4", Effort::Default, false, |calibrator, map| {
        calibrator.fit();
        calibrator.observe(map, &mut Scratch::default(), &mut vec![0.0; map.len()]).unwrap();
    });
    assert_eq!(fs::read(golden("v4/layer1.0.packet")).unwrap()[0], 0xB8);
}

/// Version 5 added diffusion to profiles. Packets and streams are of the versions before, and decode without it.
#[test]
fn diffusion() {
    let (shape, values) = ([4, 8, 8], map(4 * 8 * 8));
    let tap = |name: &str, diffusion: f32| {
        let coding = Coding::new(Wavelet::None, 0, Steps::Uniform(0.5)).with_nonnegative(true);
        let mut calibrator = TapCalibrator::new(name, shape, coding.with_diffusion(diffusion)).unwrap();
        calibrator.observe(&values, &mut Scratch::default(), &mut vec![0.0; values.len()]).unwrap();
        calibrator.finish()
    };
    let profile = Profile::new("golden", vec![tap("layer1.0", 0.75), tap("layer1.1", 0.0)]).unwrap();
    let golden = stored("v5/profile.sbp", &profile.to_bytes());
    assert_eq!(profile.to_bytes(), golden);
    assert_eq!(golden[4], 5);
    assert_eq!(Profile::from_bytes(&golden, &Limits::default()).unwrap(), profile);
    let mut packets = Vec::new();
    for tap in profile.taps() {
        let codec = TapCodec::new(tap).unwrap();
        let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; values.len()]);
        codec.compress(&values, &mut scratch, &mut packet).unwrap();
        assert_eq!(packet, stored(&format!("v5/{}.packet", tap.name()), &packet));
        codec.decompress(&packet, &mut scratch, &mut decoded).unwrap();
        let decoded: Vec<u8> = decoded.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(decoded, stored(&format!("v5/{}.raw", tap.name()), &decoded));
        packets.push(decoded);
    }
    assert_ne!(packets[0], packets[1], "errors are passed on");
}

/// Version 6 added short steps, and one checksum for streams of one chunk. What earlier versions wrote of one chunk is in their
/// tests, with files of names such as `v6/v1-lanes-f32`.
#[test]
fn short_steps() {
    let steps = Steps::PerSubband(vec![0.3, 0.37, 0.29, 0.41, 0.55, 0.7, 0.5]).rounded();
    let config = Config::default().with_wavelet(Wavelet::Haar, 2).with_target(Target::Steps(steps));
    let short = Tensor::new(map(5 * 9 * 14), &[5, 9, 14]).unwrap();
    check_effort(Effort::Default, "v6/steps-spread", &short, &config);
    check_effort(Effort::Fast, "v6/steps-fast", &short, &config);
    // Steps that need all bits, and by channel.
    let rows: Vec<Vec<f32>> = (0..3).map(|c| (0..7).map(|b| 0.1 + 0.05 * (b + c) as f32).collect()).collect();
    let by_channel = config.with_target(Target::Steps(Steps::PerChannel(rows)));
    let chunks = Tensor::new(map(2 * 3 * 11 * 7), &[2, 3, 11, 7]).unwrap();
    check_effort(Effort::Fast, "v6/channels-chunks", &chunks, &by_channel);
    let one = Tensor::new(map(3 * 11 * 7), &[3, 11, 7]).unwrap();
    check_effort(Effort::Fast, "v6/channels-one", &one, &by_channel);
    let wide: Vec<i16> = map(2 * 8 * 8).iter().map(|v| (v * 1000.0) as i16).collect();
    let lossless = Config::default().with_target(Target::Lossless);
    check_effort(Effort::Fast, "v6/lossless-i16", &Tensor::new(wide, &[1, 2, 8, 8]).unwrap(), &lossless);
}

/// A profile of two taps, calibrated by one map and whatever `calibrate` does then, and a packet and a stream of each. `exact`:
/// calibration makes the same profile on every machine and by every version.
fn profile_files(folder: &str, effort: Effort, exact: bool, calibrate: impl Fn(&mut TapCalibrator, &[f32])) {
    let stored = |name: &str, current: &[u8]| stored(&format!("{folder}/{name}"), current);
    let (shape, values) = ([4, 8, 8], map(4 * 8 * 8));
    let tap = |name: &str, coding: Coding| {
        let mut calibrator = TapCalibrator::new(name, shape, coding).unwrap();
        calibrator.observe(&values, &mut Scratch::default(), &mut vec![0.0; values.len()]).unwrap();
        calibrate(&mut calibrator, &values);
        calibrator.finish()
    };
    let thesis = Coding::new(Wavelet::Db2, 3, Steps::Uniform(5.0)).with_prescale(2.0 / 255.0).with_index_bits(8);
    let haar = Coding::new(Wavelet::Haar, 2, Steps::Uniform(0.25)).with_nonnegative(true).with_rounding(0.375);
    let profile = Profile::new("golden", vec![tap("layer1.0", thesis), tap("layer1.1", haar)]).unwrap();
    let stored_profile = stored("profile.sbp", &profile.to_bytes());
    if exact {
        assert_eq!(profile.to_bytes(), stored_profile);
    }
    let profile = Profile::from_bytes(&stored_profile, &Limits::default()).unwrap();

    let mut scratch = Scratch::default();
    // Twice as large as in calibration, so escapes and saturation occur.
    let map: Vec<f32> = values.iter().rev().map(|v| v * 2.0).collect();
    for tap in profile.taps() {
        let codec = TapCodec::new(tap).unwrap().with_effort(effort);
        let mut packet = Vec::new();
        codec.compress(&map, &mut scratch, &mut packet).unwrap();
        let stored_packet = stored(&format!("{}.packet", tap.name()), &packet);
        assert_eq!(packet, stored_packet);
        let mut decoded = vec![0.0; map.len()];
        codec.decompress(&stored_packet, &mut scratch, &mut decoded).unwrap();
        let decoded: Vec<u8> = decoded.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(decoded, stored(&format!("{}.raw", tap.name()), &decoded));

        let view = TensorView::new(&map, &shape).unwrap();
        let stream = compress_with_profile(&view, &profile, tap.name(), &ProfileOptions::default().with_effort(effort))
            .unwrap()
            .bytes;
        let name = format!("{folder}/{}", tap.name());
        for stream in [stored_as(&name, &stream), fs::read(golden(&format!("{name}.sbd"))).unwrap()] {
            let tensor = decompress(&stream, &DecompressOptions::default().with_profile(&profile)).unwrap();
            assert_eq!(bytes_of(&tensor), decoded);
        }
    }
}
