//! Profiles with rounded steps: packets and self-contained streams decode to the same maps, and streams are shorter.

use subband::{
    Coding, DecompressOptions, Effort, ErrorKind, Limits, Profile, Scratch, Steps, TapCalibrator, TapCodec, TensorData,
    Wavelet, decompress, inspect,
};

const SHAPE: [usize; 3] = [16, 16, 16];

/// Blobs whose channels differ in height and in how fine they are.
fn map() -> Vec<f32> {
    let at = |i: usize| {
        let (x, y, c) = ((i % 16) as f32, (i / 16 % 16) as f32, (i / 256) as f32);
        let wave = (x * (0.2 + 0.1 * c)).sin() + (y * (0.9 - 0.05 * c)).cos();
        (wave * (1.0 + 0.3 * c) - 0.5).max(0.0)
    };
    (0..SHAPE.iter().product()).map(at).collect()
}

fn profile() -> Profile {
    let steps = vec![0.313, 0.4171, 0.39, 0.471, 0.6133, 0.555, 0.777];
    let coding = Coding::new(Wavelet::Haar, 2, Steps::PerSubband(steps)).with_nonnegative(true);
    let mut calibrator = TapCalibrator::new("layer1.0", SHAPE, coding).unwrap();
    let (map, mut scratch) = (map(), Scratch::default());
    let mut decoded = vec![0.0; map.len()];
    calibrator.observe(&map, &mut scratch, &mut decoded).unwrap();
    calibrator.fit();
    calibrator.observe(&map, &mut scratch, &mut decoded).unwrap();
    Profile::new("test", vec![calibrator.finish()]).unwrap()
}

/// The packet of the map, and the map as a stream with its tables inside; both decode to the same values.
fn coded(profile: &Profile, effort: Effort) -> (Vec<u8>, Vec<u8>) {
    let codec = TapCodec::new(&profile.taps()[0]).unwrap().with_effort(effort);
    let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; map().len()]);
    codec.compress(&map(), &mut scratch, &mut packet).unwrap();
    let stream = codec.self_contained(&mut scratch);
    codec.decompress(&packet, &mut scratch, &mut decoded).unwrap();
    let tensor = decompress(&stream, &DecompressOptions::default()).unwrap();
    assert_eq!((tensor.shape(), tensor.data()), (&SHAPE[..], &TensorData::F32(decoded)));
    (packet, stream)
}

#[test]
fn all_else_is_kept() {
    let profile = profile();
    let rounded = profile.clone().with_rounded_steps();
    let (before, after) = (profile.taps()[0].coding(), rounded.taps()[0].coding());
    assert_eq!(after.steps, before.steps.rounded());
    assert_ne!(after.steps, before.steps);
    let mut back = after.clone();
    back.steps = before.steps.clone();
    assert_eq!(back, *before);
    assert_eq!(Profile::from_bytes(&rounded.to_bytes(), &Limits::default()).unwrap(), rounded);
    assert_eq!(rounded.clone().with_rounded_steps(), rounded);
    let lengths = [&profile, &rounded].map(|profile| profile.to_bytes().len());
    assert_eq!(lengths[0], lengths[1]);
    // They are other steps, so what was coded with those before is refused.
    let (packet, _) = coded(&profile, Effort::Default);
    let codec = TapCodec::new(&rounded.taps()[0]).unwrap();
    let refused = codec.decompress(&packet, &mut Scratch::default(), &mut vec![0.0; map().len()]);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::WrongProfile);
}

#[test]
fn streams_are_shorter_and_know_their_steps() {
    for effort in [Effort::Fast, Effort::Default] {
        let profile = profile();
        let rounded = profile.clone().with_rounded_steps();
        let [(_, exact), (_, short)] = [&profile, &rounded].map(|profile| coded(profile, effort));
        // Thirteen bits a step.
        assert!(short.len() + 10 <= exact.len(), "{effort}: {} {}", short.len(), exact.len());
        for (profile, stream) in [(&profile, &exact), (&rounded, &short)] {
            let info = inspect(stream, &DecompressOptions::default()).unwrap();
            assert_eq!(info.steps, profile.taps()[0].coding().steps);
            assert_eq!((info.bytes, info.chunks), (stream.len(), 1));
        }
    }
}
