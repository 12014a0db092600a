//! Profiles from nowhere: whatever the bytes, reading gives an error or a profile that works, never a panic and no more memory
//! than the limits allow.
//!
//! `mutations` runs for two seconds, or as many as `SUBBAND_FUZZ_SECONDS` says; `just fuzz-profile` gives it ten minutes on any
//! compiler, where the fuzzer in fuzz/ needs a nightly one.

use std::time::{Duration, Instant};

use subband::{Effort, ErrorKind, Limits, Profile, Scratch, TapCodec};

const GOLDEN: [&[u8]; 4] = [
    include_bytes!("golden/v1/profile.sbp"),
    include_bytes!("golden/v2/profile.sbp"),
    include_bytes!("golden/v3/profile.sbp"),
    include_bytes!("golden/v4/profile.sbp"),
];

fn limits() -> Limits {
    Limits::default().with_max_values(1 << 16)
}

/// The same with the checksum made right, so that damage reaches the parsers behind it.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let covered = &bytes[..bytes.len().saturating_sub(4)];
    [covered, &crc32fast::hash(covered).to_le_bytes()].concat()
}

/// Reads bytes. A profile that comes out of them survives being written, and codes maps that come back.
fn read(bytes: &[u8]) {
    let Ok(profile) = Profile::from_bytes(bytes, &limits()) else { return };
    let written = profile.to_bytes();
    assert!(Profile::from_bytes(&written, &limits()).expect("it was just written") == profile);
    for tap in profile.taps().iter().take(2) {
        let values: usize = tap.shape().iter().product();
        assert!(values <= 1 << 16);
        let _ = tap.work(Effort::Max);
        let Ok(codec) = TapCodec::new(tap) else { continue };
        let map: Vec<f32> = (0..values).map(|i| (i % 5) as f32 / 4.0).collect();
        let (mut packet, mut decoded) = (Vec::new(), vec![0.0; values]);
        for effort in Effort::ALL {
            packet.clear();
            let codec = codec.clone().with_effort(effort);
            // Steps may be so odd that nothing can be coded.
            if codec.compress(&map, &mut Scratch::default(), &mut packet).is_ok() {
                codec.decompress(&packet, &mut Scratch::default(), &mut decoded).expect("what was coded decodes");
            }
        }
    }
}

#[test]
fn truncation_at_every_byte() {
    for golden in GOLDEN {
        for end in 0..golden.len() {
            let error = Profile::from_bytes(&golden[..end], &limits()).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Truncated | ErrorKind::Corrupt), "at {end}: {error}");
            read(&mended(&golden[..end]));
        }
        assert!(Profile::from_bytes(&[golden, &[0]].concat(), &limits()).is_err());
    }
}

#[test]
fn every_bit_flip_is_found_or_harmless() {
    for golden in GOLDEN {
        for bit in 0..golden.len() * 8 {
            let mut damaged = golden.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Profile::from_bytes(&damaged, &limits()).is_err(), "bit {bit}");
            // Behind the checksum a bit of each byte at the beginning, of every 16th then: the mutations below do the rest.
            if bit % 8 == bit / 8 % 8 && (bit / 8 < 400 || bit / 8 % 16 == 0) {
                read(&mended(&damaged));
            }
        }
    }
}

/// Found by fuzzing: an encoder with such a table writes tokens that are not there.
#[test]
fn tables_without_an_escape_are_refused() {
    let profile: &[u8] = include_bytes!("regressions/no-escape.sbp");
    let error = Profile::from_bytes(profile, &limits()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("escape"), "{error}");
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn mutate(bytes: &mut Vec<u8>, state: &mut u64) {
    let below = |state: &mut u64, bound: usize| (random(state) % bound.max(1) as u64) as usize;
    for _ in 0..=below(state, 4) {
        // Most fields lie near the beginning.
        let reach = if random(state).is_multiple_of(2) { bytes.len().min(120) } else { bytes.len() };
        let at = below(state, reach);
        match random(state) % 7 {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << below(state, 8),
            1 if !bytes.is_empty() => bytes[at] = random(state) as u8,
            2 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(state, 5)],
            3 => bytes.truncate(at + 1),
            4 => bytes.insert(at.min(bytes.len()), random(state) as u8),
            5 => {
                let end = (at + below(state, 16)).min(bytes.len());
                bytes.drain(at.min(end)..end);
            }
            _ => {
                let other = GOLDEN[below(state, GOLDEN.len())];
                let start = below(state, other.len());
                let end = (start + below(state, 200)).min(other.len());
                let to = at.min(bytes.len());
                bytes.splice(to..to, other[start..end].iter().copied());
            }
        }
    }
}

#[test]
fn mutations() {
    let seconds = std::env::var("SUBBAND_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let seed = std::env::var("SUBBAND_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1u64);
    let (begun, mut count, mut sound) = (Instant::now(), 0u64, 0u64);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let mut state = seed.wrapping_mul(1 << 40).wrapping_add(count);
        let mut bytes = GOLDEN[count as usize % GOLDEN.len()].to_vec();
        mutate(&mut bytes, &mut state);
        let bytes = mended(&bytes);
        let outcome = std::panic::catch_unwind(|| read(&bytes));
        assert!(outcome.is_ok(), "mutation {count} of seed {seed}");
        sound += u64::from(Profile::from_bytes(&bytes, &limits()).is_ok());
        count += 1;
    }
    eprintln!("{count} mutations, {sound} of them sound profiles");
    assert!(count > 0);
}
