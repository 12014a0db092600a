//! Effort max: packets and streams coded with the mixing model of a profile.

use proptest::prelude::*;
use subband::{
    ChannelMask, Coding, DecompressOptions, Effort, ErrorKind, Limits, Profile, ProfileOptions, Scratch, Steps,
    TapCalibrator, TapCodec, TensorView, Wavelet, compress_with_profile, decompress,
};

/// Blobs that all channels share, and noise of their own.
fn map([channels, height, width]: [usize; 3], seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32
    };
    let phase = noise() * 6.0;
    let mut values = Vec::new();
    for channel in 0..channels {
        for i in 0..height * width {
            let (y, x) = ((i / width) as f32, (i % width) as f32);
            let shared = (0.4 * x + phase).sin() * (0.3 * y - phase).cos() * 4.0;
            values.push((shared * (1.0 - channel as f32 * 0.1) + noise() * 0.7).max(0.0));
        }
    }
    values
}

/// A tap whose networks are trained on a few maps.
fn profile(shape: [usize; 3], coding: Coding, maps: u32) -> Profile {
    let mut calibrator = TapCalibrator::new("tap", shape, coding).unwrap();
    let mut scratch = Scratch::default();
    let mut kept = Vec::new();
    for seed in 0..maps {
        let map = map(shape, seed);
        calibrator.observe(&map, &mut scratch, &mut vec![0.0; map.len()]).unwrap();
        kept.push(calibrator.indices(&scratch));
    }
    calibrator.fit();
    calibrator.train_max(&kept, 1, &mut |_, _| {});
    for seed in 0..maps {
        let map = map(shape, seed);
        calibrator.observe(&map, &mut scratch, &mut vec![0.0; map.len()]).unwrap();
    }
    Profile::new("test", vec![calibrator.finish()]).unwrap()
}

fn packet(profile: &Profile, effort: Effort, map: &[f32]) -> (Vec<u8>, Vec<f32>) {
    let codec = TapCodec::new(&profile.taps()[0]).unwrap().with_effort(effort);
    let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; map.len()]);
    codec.compress(map, &mut scratch, &mut packet).unwrap();
    codec.decompress(&packet, &mut Scratch::default(), &mut decoded).unwrap();
    (packet, decoded)
}

fn coding() -> Coding {
    Coding::new(Wavelet::Haar, 2, Steps::Uniform(0.5)).with_nonnegative(true)
}

#[test]
fn more_work_takes_fewer_bytes() {
    let shape = [8, 16, 16];
    let profile = profile(shape, coding(), 40);
    let bytes = |effort| (100..120).map(|seed| packet(&profile, effort, &map(shape, seed)).0.len()).sum::<usize>();
    let [fast, default, max] = Effort::ALL.map(bytes);
    assert!(max < default && default < fast, "{fast} {default} {max}");
}

/// Networks trained on maps unlike those to come are left out, and those of a tap without held-out maps.
#[test]
fn networks_have_to_save_bytes_on_other_maps() {
    let shape = [8, 16, 16];
    let tap = profile(shape, coding(), 40).taps()[0].clone();
    let calibrator = || TapCalibrator::new("tap", shape, coding()).unwrap();
    let indices = |map: &[f32]| {
        let (mut calibrator, mut scratch) = (calibrator(), Scratch::default());
        calibrator.observe(map, &mut scratch, &mut vec![0.0; map.len()]).unwrap();
        calibrator.indices(&scratch)
    };
    let alike: Vec<_> = (100..105).map(|seed| indices(&map(shape, seed))).collect();
    let kept = tap.clone().with_max_where_it_saves(&alike).unwrap();
    assert_eq!(kept, tap);
    let noise = |seed: u32| -> Vec<f32> {
        let hash = |i: u32| (i.wrapping_mul(747_796_405) ^ seed).wrapping_mul(2_891_336_453) >> 16;
        (0..8 * 256).map(|i| (hash(i) % 1_000) as f32 * 0.01 - 5.0).collect()
    };
    let unlike: Vec<_> = (1..6).map(|seed| indices(&noise(seed))).collect();
    let dropped = tap.clone().with_max_where_it_saves(&unlike).unwrap();
    assert!(tap.has_mixing_model() && !dropped.has_mixing_model() && dropped.has_spread_model());
    let bytes = Profile::new("test", vec![dropped.clone()]).unwrap().to_bytes();
    assert_eq!(Profile::from_bytes(&bytes, &Limits::default()).unwrap().taps()[0], dropped);
    assert!(!tap.clone().with_max_where_it_saves(&[]).unwrap().has_mixing_model());
    let other = TapCalibrator::new("tap", [1, 4, 4], coding()).unwrap();
    let mut scratch = Scratch::default();
    other.clone().observe(&[0.0; 16], &mut scratch, &mut [0.0; 16]).unwrap();
    assert_eq!(tap.with_max_where_it_saves(&[other.indices(&scratch)]).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn training_is_reproducible_and_profiles_come_back() {
    let [a, b] = [(); 2].map(|()| profile([3, 9, 7], coding(), 5).to_bytes());
    assert_eq!(a, b);
    assert_eq!(a[4], 4, "the version");
    let read = Profile::from_bytes(&a, &Limits::default()).unwrap();
    assert_eq!(read.to_bytes(), a);
    for end in 0..a.len() {
        assert!(Profile::from_bytes(&a[..end], &Limits::default()).is_err(), "{end}");
    }
}

#[test]
fn streams_of_many_maps_and_chunks() {
    let shape = [5, 9, 14];
    let profile = profile(shape, coding(), 10);
    let maps: Vec<f32> = (50..53).flat_map(|seed| map(shape, seed)).collect();
    let view = TensorView::new(&maps, &[3, 5, 9, 14]).unwrap();
    for channels in [1, 2, 5] {
        let options = ProfileOptions::default().with_effort(Effort::Max).with_channels_per_chunk(channels);
        let stream = compress_with_profile(&view, &profile, "tap", &options).unwrap().bytes;
        assert_eq!(stream[4], 3);
        let decoded = decompress(&stream, &DecompressOptions::default().with_profile(&profile)).unwrap();
        let fast = compress_with_profile(&view, &profile, "tap", &options.clone().with_effort(Effort::Fast)).unwrap();
        let expected = decompress(&fast.bytes, &DecompressOptions::default().with_profile(&profile)).unwrap();
        assert_eq!(decoded, expected, "the same indices, whatever the effort");
    }
}

#[test]
fn damage_behind_the_checksum_is_no_panic() {
    let shape = [3, 9, 7];
    let profile = profile(shape, coding(), 5);
    let codec = TapCodec::new(&profile.taps()[0]).unwrap();
    let (packet, _) = packet(&profile, Effort::Max, &map(shape, 9));
    assert_eq!(packet[0], 0xB4);
    let checksum = crc::Crc::<u16>::new(&crc::CRC_16_IBM_SDLC);
    let body = &packet[..packet.len() - 2];
    let try_body = |body: &[u8]| {
        let packet = [body, &checksum.checksum(body).to_le_bytes()].concat();
        codec.decompress(&packet, &mut Scratch::default(), &mut vec![0.0; 3 * 9 * 7])
    };
    try_body(body).unwrap();
    let mut refused = 0;
    for bit in 5 * 8..body.len() * 8 {
        let mut damaged = body.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(try_body(&damaged).is_err());
    }
    for end in 5..body.len() {
        refused += usize::from(try_body(&body[..end]).is_err());
    }
    assert!(refused > 0);
    let longer = [body, &[1, 2, 3, 4, 5, 6, 7, 8]].concat();
    assert_eq!(try_body(&longer).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(try_body(&body[..5]).unwrap_err().kind(), ErrorKind::Truncated);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_effort_gives_the_same_values(
        shape in [1usize..6, 1usize..14, 1usize..14], which in 0usize..5, levels in 1u8..=4, seed in any::<u32>(),
        scale in prop_oneof![Just(0.0f32), Just(1.0), Just(-1.0), Just(40.0), Just(1e6)], dropped in 0usize..4,
    ) {
        let wavelet = Wavelet::ALL[which];
        let levels = if wavelet == Wavelet::None { 0 } else { levels };
        let mut coding = Coding::new(wavelet, levels, Steps::Uniform(0.5)).with_nonnegative(scale >= 0.0);
        if levels > 0 && dropped < shape[0] {
            coding.mask = Some(ChannelMask::keep_all(shape[0], levels).unwrap().drop_level(dropped, 1));
        }
        let profile = profile(shape, coding, 2);
        let map: Vec<f32> = map(shape, seed).iter().map(|v| v * scale).collect();
        let (_, expected) = packet(&profile, Effort::Fast, &map);
        for effort in [Effort::Default, Effort::Max] {
            let (_, decoded) = packet(&profile, effort, &map);
            prop_assert_eq!(&decoded, &expected);
        }
    }
}
