//! Any bytes as a stream, a packet and a profile: errors are fine, panics and huge allocations are not.
//!
//! Checksums are mended first, so that mutated fields reach the parsers behind them.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use subband::{DecompressOptions, Limits, Profile, Scratch, TapCodec, decompress, inspect};

const GOLDEN: &[u8] = include_bytes!("../../crates/subband/tests/golden/v2/profile.sbp");

static PROFILE: LazyLock<Profile> =
    LazyLock::new(|| Profile::from_bytes(GOLDEN, &Limits::default()).expect("the golden profile is sound"));

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().with_max_values(1 << 16);
    let options = DecompressOptions::default().with_limits(limits).with_profile(&PROFILE);
    let _ = decompress(data, &options);
    let stream = with_stream_checksums(data);
    let _ = decompress(&stream, &options);
    let _ = inspect(&stream, &options);

    let _ = Profile::from_bytes(data, &limits);
    if let Some(covered) = data.len().checked_sub(4) {
        let mended = [&data[..covered], &crc32(&data[..covered]).to_le_bytes()].concat();
        let _ = Profile::from_bytes(&mended, &limits);
    }

    let tap = &PROFILE.taps()[data.len() % 2];
    let codec = TapCodec::new(tap).expect("the tap is sound");
    let mut map = vec![0.0; codec.values()];
    let mut packet = Vec::new();
    codec.compress(&map, &mut Scratch::default(), &mut packet).expect("zeros can be coded");
    for kind in [0xb1, 0xb2] {
        let mut forged = [&[kind], &packet[1..5], data].concat();
        let checksum = crc16(&forged);
        forged.extend_from_slice(&checksum.to_le_bytes());
        let _ = codec.decompress(&forged, &mut Scratch::default(), &mut map);
    }
});

/// The stream with the checksum of its header, and of its only chunk if it has one, made right.
fn with_stream_checksums(data: &[u8]) -> Vec<u8> {
    let mut stream = data.to_vec();
    if stream.len() < 7 || stream[6] >= 0x80 {
        return stream;
    }
    // The length of the header, in one byte or two: float models are longer than 127 bytes.
    let header_end = match stream[5] {
        short @ 0..0x80 => 6 + short as usize,
        low => 7 + (low & 0x7f) as usize + ((stream[6] as usize) << 7),
    };
    if stream.len() < header_end + 8 {
        return stream;
    }
    let header = crc32(&stream[..header_end]);
    stream[header_end..header_end + 4].copy_from_slice(&header.to_le_bytes());
    let payload_end = stream.len() - 4;
    let chunk = crc32(&[&[0; 8], &stream[header_end + 4..payload_end]].concat());
    stream[payload_end..].copy_from_slice(&chunk.to_le_bytes());
    stream
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

fn crc16(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(!0u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    })
}
