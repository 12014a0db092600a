//! Damaged and hostile bytes give an error of the right kind and never a panic or a wrong tensor.

use std::sync::LazyLock;

use proptest::prelude::*;
use subband::{
    ChannelMask, Coding, Config, DecompressOptions, Effort, ErrorKind, Limits, Profile, ProfileOptions, Scratch, Steps,
    TapCalibrator, TapCodec, Target, TensorView, Wavelet, compress, compress_with_profile, decompress, inspect,
};

fn map(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i as f32 * 0.37).sin() * 3.0).max(0.0) + (i % 7) as f32 * 0.1).collect()
}

fn streams() -> Vec<Vec<u8>> {
    static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(make_streams);
    STREAMS.clone()
}

fn make_streams() -> Vec<Vec<u8>> {
    let floats = map(2 * 3 * 6 * 5);
    let view = TensorView::new(&floats, &[2, 3, 6, 5]).unwrap();
    let mask = ChannelMask::keep_all(3, 2).unwrap().drop_details(1);
    let integers: Vec<i16> = floats.iter().map(|v| (v * 900.0) as i16).collect();
    let palette: Vec<f32> = (0..512).map(|i| [0.0, 0.3, -0.3, 0.7][i * i % 11 % 4]).collect();
    let lossless = Config::default().with_target(Target::Lossless).with_channels_per_chunk(2);
    let own = Steps::PerSubband(vec![0.5, 0.375, 0.3125, 0.4375]);
    let steps = Config::default().with_wavelet(Wavelet::Haar, 1).with_target(Target::Steps(own));
    let long = map(4 * 16 * 16);
    vec![
        compress(&view, &Config::default().with_target(Target::Step(0.3)).with_channels_per_chunk(1)).unwrap().bytes,
        compress(&view, &Config::default().with_wavelet(Wavelet::Db2, 2).with_mask(mask)).unwrap().bytes,
        compress(&TensorView::new(&integers, &[3, 12, 5]).unwrap(), &lossless).unwrap().bytes,
        compress(&view, &lossless).unwrap().bytes,
        // A palette, a grid and signs; short enough for a header of one length byte.
        compress(&TensorView::new(&palette, &[64, 4, 2]).unwrap(), &lossless).unwrap().bytes,
        // Of version 6: one chunk with tables and with a spread model, and several chunks with short steps and one.
        compress(&TensorView::new(&floats, &[12, 15]).unwrap(), &steps.clone().with_effort(Effort::Fast))
            .unwrap()
            .bytes,
        compress(&TensorView::new(&long, &[4, 16, 16]).unwrap(), &steps).unwrap().bytes,
        compress(&view, &steps).unwrap().bytes,
    ]
}

/// The number of streams, and those of them that are of one chunk in version 6.
const STREAMS: usize = 8;
const ONE_CHUNK: [usize; 2] = [5, 6];

#[test]
fn streams_are_of_all_versions() {
    let versions: Vec<u8> = streams().iter().map(|stream| stream[4]).collect();
    assert_eq!(versions, [4, 4, 4, 2, 2, 6, 6, 6]);
    let flags: Vec<u8> = streams()[5..].iter().map(|stream| stream[5]).collect();
    assert_eq!(flags, [16, 24, 8]);
}

#[test]
fn truncation_at_every_byte() {
    for stream in streams() {
        for end in 0..stream.len() {
            let error = decompress(&stream[..end], &DecompressOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Truncated, "at {end}: {error}");
        }
        let longer = [&stream[..], &[0]].concat();
        assert_eq!(decompress(&longer, &DecompressOptions::default()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn every_bit_flip_is_found() {
    for stream in streams() {
        for bit in 0..stream.len() * 8 {
            let mut damaged = stream.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let kind = decompress(&damaged, &DecompressOptions::default()).unwrap_err().kind();
            match bit / 8 {
                // One known version may become another; the checksum tells, or a length that is none.
                4 if matches!(damaged[4], 1..=4 | 6) => {
                    assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Truncated));
                }
                4 => assert_eq!(kind, ErrorKind::UnsupportedVersion),
                // Lengths may point beyond the end.
                5..9 => assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Truncated)),
                byte => assert_eq!(kind, ErrorKind::Corrupt, "byte {byte}"),
            }
        }
    }
}

/// Whether a profile has a spread model.
const WITH_AND_WITHOUT: [bool; 2] = [false, true];

fn profile(step: f32, fitted: bool) -> Profile {
    let coding = Coding::new(Wavelet::Haar, 2, Steps::Uniform(step)).with_nonnegative(true);
    let mut calibrator = TapCalibrator::new("layer1.0", [4, 8, 8], coding).unwrap();
    let map = map(4 * 8 * 8);
    calibrator.observe(&map, &mut Scratch::default(), &mut vec![0.0; map.len()]).unwrap();
    if fitted {
        calibrator.fit();
        calibrator.observe(&map, &mut Scratch::default(), &mut vec![0.0; map.len()]).unwrap();
    }
    Profile::new("test", vec![calibrator.finish()]).unwrap()
}

#[test]
fn packets_know_their_profile_and_their_damage() {
    WITH_AND_WITHOUT.into_iter().for_each(packets_of);
}

fn packets_of(fitted: bool) {
    let profile = profile(0.2, fitted);
    let codec = TapCodec::new(profile.tap("layer1.0").unwrap()).unwrap();
    let other = TapCodec::new(self::profile(0.3, fitted).tap("layer1.0").unwrap()).unwrap();
    let mut scratch = Scratch::default();
    let map = map(4 * 8 * 8);
    let mut packet = Vec::new();
    codec.compress(&map, &mut scratch, &mut packet).unwrap();
    let mut decoded = vec![0.0; map.len()];
    codec.decompress(&packet, &mut scratch, &mut decoded).unwrap();
    assert!(map.iter().zip(&decoded).all(|(a, b)| (a - b).abs() < 0.8));
    let kind = |codec: &TapCodec, packet: &[u8]| {
        codec.decompress(packet, &mut Scratch::default(), &mut vec![0.0; 256]).unwrap_err().kind()
    };
    assert_eq!(kind(&other, &packet), ErrorKind::WrongProfile);
    for bit in 0..packet.len() * 8 {
        let mut damaged = packet.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit {
            // Kinds of payload have one bit each.
            0..4 => ErrorKind::UnsupportedVersion,
            8..40 => ErrorKind::WrongProfile,
            _ => ErrorKind::Corrupt,
        };
        assert_eq!(kind(&codec, &damaged), expected, "bit {bit}");
    }
    // A packet has no length of its own, so a cut is told by the checksum.
    for end in 0..packet.len() {
        assert!(matches!(kind(&codec, &packet[..end]), ErrorKind::Truncated | ErrorKind::Corrupt));
    }
    // Any finite map can be coded, however unlike the calibration.
    let wild: Vec<f32> = map.iter().map(|v| v * 1e4).collect();
    packet.clear();
    codec.compress(&wild, &mut scratch, &mut packet).unwrap();
    codec.decompress(&packet, &mut scratch, &mut decoded).unwrap();
    assert!(wild.iter().zip(&decoded).all(|(a, b)| (a - b).abs() < 0.8));
    let nan = [f32::NAN; 256];
    assert_eq!(codec.compress(&nan, &mut scratch, &mut packet).unwrap_err().kind(), ErrorKind::NonFinite);
    assert_eq!(codec.compress(&map[1..], &mut scratch, &mut packet).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn profiles_come_back_or_say_what_is_wrong() {
    WITH_AND_WITHOUT.into_iter().for_each(profile_of);
}

fn profile_of(fitted: bool) {
    let profile = profile(0.2, fitted);
    let bytes = profile.to_bytes();
    assert_eq!(Profile::from_bytes(&bytes, &Limits::default()).unwrap(), profile);
    for end in 0..bytes.len() {
        assert!(Profile::from_bytes(&bytes[..end], &Limits::default()).is_err());
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Profile::from_bytes(&damaged, &Limits::default()).is_err(), "bit {bit}");
    }
}

#[test]
fn streams_with_a_profile_need_it() {
    WITH_AND_WITHOUT.into_iter().for_each(stream_of);
}

fn stream_of(fitted: bool) {
    let profile = profile(0.2, fitted);
    let maps = map(3 * 256);
    let view = TensorView::new(&maps, &[3, 4, 8, 8]).unwrap();
    let stream = compress_with_profile(&view, &profile, "layer1.0", &ProfileOptions::default()).unwrap().bytes;
    let decoded = decompress(&stream, &DecompressOptions::default().with_profile(&profile)).unwrap();
    assert_eq!(decoded.shape(), [3, 4, 8, 8]);
    let other = self::profile(0.3, fitted);
    for options in [DecompressOptions::default(), DecompressOptions::default().with_profile(&other)] {
        assert_eq!(decompress(&stream, &options).unwrap_err().kind(), ErrorKind::WrongProfile);
    }
    let wrong = TensorView::new(&maps, &[3, 8, 8, 4]).unwrap();
    let error = compress_with_profile(&wrong, &profile, "layer1.0", &ProfileOptions::default()).unwrap_err();
    assert!(error.to_string().contains("[8, 8, 4]"), "{error}");
    assert!(profile.tap("nope").unwrap_err().to_string().contains("layer1.0"));
}

#[test]
fn limits_hold_before_memory_is_taken() {
    let zeros = vec![0.0f32; 64 * 64];
    let stream = compress(&TensorView::new(&zeros, &[64, 64]).unwrap(), &Config::default()).unwrap().bytes;
    assert!(stream.len() < 40, "zeros cost next to nothing: {}", stream.len());
    let options = DecompressOptions::default().with_limits(Limits::default().with_max_values(4095));
    assert_eq!(decompress(&stream, &options).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

/// Fields of a short header out of range, behind a correct checksum.
#[test]
fn forged_short_headers_are_refused() {
    let original = streams().swap_remove(ONE_CHUNK[0]);
    let error = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut stream = original.clone();
        edit(&mut stream);
        let end = stream.len() - 4;
        let checksum = crc32(&stream[..end]);
        stream[end..].copy_from_slice(&checksum.to_le_bytes());
        decompress(&stream, &DecompressOptions::default()).unwrap_err()
    };
    // Magic, version, flags, two lengths; then dtype and rank, the shape, the coding and its steps.
    let body = 8;
    assert!(original[6] < 0x80 && original[7] < 0x80, "lengths of one byte");
    assert_eq!(original[body..body + 3], [0, 12, 15]);
    let message = |edit: &dyn Fn(&mut Vec<u8>)| {
        let error = error(edit);
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        error.to_string()
    };
    assert!(message(&|stream| stream[5] |= 32).contains("flags"));
    assert!(message(&|stream| stream[5] |= 4).contains("flags"));
    assert!(message(&|stream| stream[body] |= 7).contains("dtype code 7"));
    assert!(message(&|stream| stream[body] = 31 << 3).contains("rank 33"));
    // No values, and more items than one chunk holds.
    assert!(message(&|stream| stream[body + 1] = 0).contains("in one chunk"));
    let items = |stream: &mut Vec<u8>| {
        stream[body] = 2 << 3;
        stream.splice(body + 1..body + 1, [2, 1]);
        stream[6] += 2;
    };
    assert!(message(&items).contains("in one chunk"));
    let steps = body + 5;
    assert!(message(&|stream| stream[steps] |= 31).contains("bits of mantissa"));
    // A first place of 0, ten bits above the five of the count, and the next 2 below it.
    let none =
        |stream: &mut Vec<u8>| (stream[steps], stream[steps + 1]) = (stream[steps] & 31, stream[steps + 1] & 128);
    assert_eq!(original[steps] & 31, 2);
    assert!(message(&none).contains("a step is beyond"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Damage behind correct checksums: fields out of range must be found by the parser itself.
    #[test]
    fn forged_streams_do_not_panic(
        which in 0..STREAMS, edits in prop::collection::vec((any::<u16>(), any::<u8>()), 1..6),
    ) {
        let mut stream = streams().swap_remove(which);
        // The length of the header, and what precedes its body.
        let at = if stream[4] == 6 { 6 } else { 5 };
        let length = stream[at] as usize;
        prop_assume!(length < 0x80);
        let header_end = if ONE_CHUNK.contains(&which) { stream.len() - 4 } else { at + 1 + length };
        for (position, value) in edits {
            let position = position as usize % (stream.len() - at - 1) + at + 1;
            stream[position] = value;
        }
        let checksum = crc32(&stream[..header_end]);
        stream[header_end..header_end + 4].copy_from_slice(&checksum.to_le_bytes());
        let options = DecompressOptions::default().with_limits(Limits::default().with_max_values(1 << 16));
        let _ = decompress(&stream, &options);
        let _ = inspect(&stream, &options);
    }
}

/// 64 lanes in the payload of a stream that says that it has a version before they were there.
#[test]
fn lanes_of_a_later_version_are_refused() {
    let values = map(4 * 256 * 256);
    let config = Config::default().with_effort(Effort::Fast).with_target(Target::Step(0.05)).with_channels_per_chunk(4);
    let mut stream = compress(&TensorView::new(&values, &[4, 256, 256]).unwrap(), &config).unwrap().bytes;
    assert_eq!(stream[4], 6);
    let header_end = inspect(&stream, &DecompressOptions::default()).unwrap().header_bytes;
    for version in [1, 5, 7] {
        stream[4] = version;
        let checksum = crc32(&stream[..header_end - 4]);
        stream[header_end - 4..header_end].copy_from_slice(&checksum.to_le_bytes());
        let error = decompress(&stream, &DecompressOptions::default()).unwrap_err();
        let expected = if version == 1 { ErrorKind::Corrupt } else { ErrorKind::UnsupportedVersion };
        assert_eq!(error.kind(), expected, "{error}");
    }
}

#[test]
fn a_packet_of_a_kind_that_the_profile_has_not_is_refused() {
    let [plain, fitted] = WITH_AND_WITHOUT.map(|fitted| profile(0.2, fitted));
    let [plain, fitted] = [&plain, &fitted].map(|profile| TapCodec::new(&profile.taps()[0]).unwrap());
    let mut packet = Vec::new();
    plain.compress(&map(256), &mut Scratch::default(), &mut packet).unwrap();
    packet[0] = 0xb2;
    let end = packet.len() - 2;
    let checksum = crc16(&packet[..end]);
    packet[end..].copy_from_slice(&checksum.to_le_bytes());
    let error = plain.decompress(&packet, &mut Scratch::default(), &mut [0.0; 256]).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("activity model"), "{error}");
    packet[0] = 0xb8;
    let checksum = crc16(&packet[..end]);
    packet[end..].copy_from_slice(&checksum.to_le_bytes());
    let error = plain.decompress(&packet, &mut Scratch::default(), &mut [0.0; 256]).unwrap_err();
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains("spread model"), "{error}");
    // Both kinds decode with a fitted tap.
    for effort in Effort::ALL {
        packet.clear();
        let codec = fitted.clone().with_effort(effort);
        codec.compress(&map(256), &mut Scratch::default(), &mut packet).unwrap();
        assert_eq!(packet[0], if effort == Effort::Fast { 0xb1 } else { 0xb8 });
        fitted.decompress(&packet, &mut Scratch::default(), &mut [0.0; 256]).unwrap();
    }
}

/// Fields of a spread model and payload out of range, behind a correct checksum.
#[test]
fn forged_spread_packets_and_profiles_do_not_panic() {
    let fitted = profile(0.2, true);
    let codec = TapCodec::new(&fitted.taps()[0]).unwrap();
    let mut packet = Vec::new();
    codec.compress(&map(256), &mut Scratch::default(), &mut packet).unwrap();
    let decode = |body: &[u8]| {
        let packet = [body, &crc16(body).to_le_bytes()].concat();
        codec.decompress(&packet, &mut Scratch::default(), &mut [0.0; 256])
    };
    let body = packet[..packet.len() - 2].to_vec();
    decode(&body).unwrap();
    let mut refused = 0;
    for bit in 5 * 8..body.len() * 8 {
        let mut damaged = body.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        refused += usize::from(decode(&damaged).is_err());
    }
    (5..body.len()).for_each(|end| refused += usize::from(decode(&body[..end]).is_err()));
    assert!(refused > 4 * body.len(), "{refused} of {}", 9 * body.len());
    let bytes = fitted.to_bytes();
    let covered = bytes.len() - 4;
    let mut read = 0;
    for bit in 5 * 8..covered * 8 {
        let mut damaged = bytes[..covered].to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let checksum = crc32(&damaged);
        damaged.extend_from_slice(&checksum.to_le_bytes());
        let Ok(profile) = Profile::from_bytes(&damaged, &Limits::default()) else { continue };
        read += 1;
        // Whatever it says, it codes.
        if bit % 97 == 0 {
            let Ok(codec) = TapCodec::new(&profile.taps()[0]) else { continue };
            let mut packet = Vec::new();
            if codec.compress(&map(256), &mut Scratch::default(), &mut packet).is_ok() {
                codec.decompress(&packet, &mut Scratch::default(), &mut [0.0; 256]).unwrap();
            }
        }
    }
    assert!(read > 0);
}

/// Found by fuzzing: an escape can say -2^24, an index that no token of its own can.
#[test]
fn an_escaped_index_out_of_range_is_refused() {
    let stream: &[u8] = include_bytes!("regressions/escape-beyond-tokens.sbd");
    let profile = Profile::from_bytes(include_bytes!("golden/v1/profile.sbp"), &Limits::default()).unwrap();
    let options = DecompressOptions::default().with_profile(&profile);
    assert_eq!(decompress(stream, &options).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(inspect(stream, &options).unwrap_err().kind(), ErrorKind::Corrupt);
}

fn crc16(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(!0u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    })
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
