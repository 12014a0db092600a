//! Any bytes as the payload of a packet, of each kind that a profile has a model for: errors are fine, panics and huge
//! allocations are not. What decodes must code at each effort, to something that decodes.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use subband::{Effort, Limits, Profile, Scratch, TapCodec};

/// Profiles with activity, mixing and spread models; all have order-0 tables.
const GOLDEN: [&[u8]; 3] = [
    include_bytes!("../../crates/subband/tests/golden/v2/profile.sbp"),
    include_bytes!("../../crates/subband/tests/golden/v3/profile.sbp"),
    include_bytes!("../../crates/subband/tests/golden/v4/profile.sbp"),
];
/// First bytes of packets: order-0, activity, mixing, spread.
const KINDS: [u8; 4] = [0xb1, 0xb2, 0xb4, 0xb8];

/// The codec of each tap, and the first five bytes of its packets at effort fast.
static CODECS: LazyLock<Vec<(TapCodec, Vec<u8>)>> = LazyLock::new(|| {
    let mut codecs = Vec::new();
    for bytes in GOLDEN {
        let profile = Profile::from_bytes(bytes, &Limits::default()).expect("the golden profile is sound");
        for tap in profile.taps() {
            let codec = TapCodec::new(tap).expect("the tap is sound").with_effort(Effort::Fast);
            let mut packet = Vec::new();
            let zeros = vec![0.0; codec.values()];
            codec.compress(&zeros, &mut Scratch::default(), &mut packet).expect("zeros can be coded");
            packet.truncate(5);
            codecs.push((codec, packet));
        }
    }
    codecs
});

fuzz_target!(|data: &[u8]| {
    let Some((&choice, payload)) = data.split_first() else { return };
    let (codec, head) = &CODECS[usize::from(choice) / KINDS.len() % CODECS.len()];
    let mut packet = [&[KINDS[usize::from(choice) % KINDS.len()]], &head[1..], payload].concat();
    let checksum = crc16(&packet);
    packet.extend_from_slice(&checksum.to_le_bytes());
    let (mut scratch, mut map) = (Scratch::default(), vec![0.0; codec.values()]);
    if codec.decompress(&packet, &mut scratch, &mut map).is_err() {
        return;
    }
    for effort in [Effort::Fast, Effort::Default, Effort::Max] {
        let codec = codec.clone().with_effort(effort);
        let (mut again, mut decoded) = (Vec::new(), vec![0.0; map.len()]);
        // Maps beyond the range of floats are refused.
        if codec.compress(&map, &mut scratch, &mut again).is_ok() {
            codec.decompress(&again, &mut scratch, &mut decoded).expect("what was coded decodes");
        }
    }
});

fn crc16(bytes: &[u8]) -> u16 {
    !bytes.iter().fold(!0u16, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 })
    })
}
