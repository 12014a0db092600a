//! Any bytes as a profile: errors are fine, panics and huge allocations are not. What is read must survive being written, and
//! its first tap must decode what it codes.
//!
//! The checksum is mended first, so that mutated fields reach the parsers behind it. The profiles of
//! crates/subband/tests/golden make a good corpus.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subband::{Limits, Profile, Scratch, TapCodec};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().with_max_values(1 << 14);
    let _ = Profile::from_bytes(data, &limits);
    let Some(covered) = data.len().checked_sub(4).map(|end| &data[..end]) else { return };
    let mended = [covered, &crc32(covered).to_le_bytes()].concat();
    let Ok(profile) = Profile::from_bytes(&mended, &limits) else { return };
    let again = Profile::from_bytes(&profile.to_bytes(), &limits).expect("it was just written");
    assert!(again == profile);
    let Some(codec) = profile.taps().first().and_then(|tap| TapCodec::new(tap).ok()) else { return };
    let mut map = vec![1.0; codec.values()];
    let mut packet = Vec::new();
    if codec.compress(&map, &mut Scratch::default(), &mut packet).is_ok() {
        codec.decompress(&packet, &mut Scratch::default(), &mut map).expect("what was coded decodes");
    }
});

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
