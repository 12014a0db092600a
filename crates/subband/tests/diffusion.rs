//! Rounding errors passed on: profiles say so, and every way to code a map gives the same indices.

mod common;

use common::fitted_tap;
use subband::{
    Coding, DecompressOptions, Effort, ErrorKind, Limits, Profile, ProfileOptions, Scratch, Steps, TapCalibrator,
    TapCodec, Tensor, TensorView, Wavelet, compress_with_profile, decompress,
};

/// Smooth, nonnegative or not, with a constant part that rounding alone would lose.
fn map([channels, height, width]: [usize; 3], lowest: f32) -> Vec<f32> {
    let plane = height * width;
    let value = |i: usize| {
        let (channel, y, x) = (i / plane, i % plane / width, i % width);
        (0.2 + (0.05 * x as f32 + channel as f32).sin() * (0.07 * y as f32).cos()).max(lowest)
    };
    (0..channels * plane).map(value).collect()
}

fn profile(shape: [usize; 3], coding: Coding, map: &[f32]) -> Profile {
    Profile::new("test", vec![fitted_tap(shape, coding, map)]).unwrap()
}

fn coding(steps: Steps) -> Coding {
    Coding::new(Wavelet::None, 0, steps).with_diffusion(0.75)
}

/// The last of the shapes is larger than what is otherwise quantized at a time.
#[test]
fn efforts_chunks_and_trials_agree() {
    for (shape, lowest) in [([5, 6, 7], 0.0), ([3, 1, 9], -9.0), ([2, 130, 90], 0.0)] {
        let map = map(shape, lowest);
        for steps in [Steps::Uniform(0.7), Steps::PerChannel((0..shape[0]).map(|c| vec![0.5 + c as f32]).collect())] {
            let coding = coding(steps).with_nonnegative(lowest == 0.0);
            let mut expected = vec![0.0; map.len()];
            let trial = TapCalibrator::new("tap", shape, coding.clone()).unwrap();
            trial.decode(&map, &mut Scratch::default(), &mut expected).unwrap();
            let profile = profile(shape, coding, &map);
            for effort in [Effort::Fast, Effort::Default] {
                let codec = TapCodec::new(&profile.taps()[0]).unwrap().with_effort(effort);
                let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; map.len()]);
                codec.compress(&map, &mut scratch, &mut packet).unwrap();
                codec.decompress(&packet, &mut scratch, &mut decoded).unwrap();
                assert_eq!(decoded, expected, "{shape:?} {effort}");
                let view = TensorView::new(&map, &shape).unwrap();
                for channels in [1, 2] {
                    let options = ProfileOptions::default().with_effort(effort).with_channels_per_chunk(channels);
                    let stream = compress_with_profile(&view, &profile, "tap", &options).unwrap().bytes;
                    let tensor = decompress(&stream, &DecompressOptions::default().with_profile(&profile)).unwrap();
                    assert_eq!(tensor, Tensor::new(expected.clone(), &shape).unwrap(), "{channels}");
                }
            }
        }
    }
}

/// Over a plane the error of the mean is a small part of what it is without.
#[test]
fn means_survive() {
    let shape = [1, 40, 40];
    let map = vec![0.3; 1600];
    let mean = |diffusion: f32| {
        let coding = coding(Steps::Uniform(1.0)).with_diffusion(diffusion);
        let mut decoded = vec![0.0; map.len()];
        let trial = TapCalibrator::new("tap", shape, coding).unwrap();
        trial.decode(&map, &mut Scratch::default(), &mut decoded).unwrap();
        decoded.iter().sum::<f32>() / 1600.0
    };
    assert_eq!(mean(0.0), 0.0);
    assert!((mean(1.0) - 0.3).abs() < 0.03, "{}", mean(1.0));
}

#[test]
fn profiles_hold_it_and_refuse_what_is_out_of_range() {
    let shape = [2, 6, 6];
    let map = map(shape, 0.0);
    let bytes = profile(shape, coding(Steps::Uniform(0.5)), &map).to_bytes();
    assert_eq!(bytes[4], 5, "the version");
    let read = |bytes: &[u8]| Profile::from_bytes(bytes, &Limits::default());
    let profile = read(&bytes).unwrap();
    assert_eq!((profile.taps()[0].coding().diffusion, profile.to_bytes()), (0.75, bytes.clone()));
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "{end}");
    }
    // Behind magic, version, name and the number of taps.
    let form = 4 + 1 + 1 + "test".len() + 1;
    assert_eq!((bytes[form], &bytes[form + 1..form + 5]), (3, &0.75f32.to_le_bytes()[..]));
    let forged = |form_byte: u8, diffusion: f32| {
        let mut forged = bytes[..bytes.len() - 4].to_vec();
        forged[form] = form_byte;
        forged[form + 1..form + 5].copy_from_slice(&diffusion.to_le_bytes());
        let checksum = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(&forged);
        read(&[&forged[..], &checksum.to_le_bytes()].concat())
    };
    assert!(forged(3, 0.5).is_ok());
    for (form, diffusion) in [(3, 0.0), (3, -0.5), (3, 1.5), (3, f32::NAN), (4, 0.75), (5, 0.75), (1, 0.75), (2, 0.75)]
    {
        assert_eq!(forged(form, diffusion).unwrap_err().kind(), ErrorKind::Corrupt, "{form} {diffusion}");
    }
}

#[test]
fn a_transform_excludes_it() {
    let with_haar = Coding::new(Wavelet::Haar, 1, Steps::Uniform(0.5)).with_diffusion(0.5);
    let error = TapCalibrator::new("tap", [1, 4, 4], with_haar).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("1 levels"), "{error}");
    let coding = coding(Steps::Uniform(0.5)).with_diffusion(1.5);
    assert!(TapCalibrator::new("tap", [1, 4, 4], coding).unwrap_err().to_string().contains("1.5"));
}
