//! Calibration and evaluation from end to end, on an untrained network and made-up images: needs no data.

use subband_nn::calibrate::{CalibrateConfig, StepRule, calibrate, recalibrate};
use subband_nn::data::Dataset;
use subband_nn::evaluate::{EvaluateOptions, Evaluation, evaluate};
use subband_nn::subband::{Effort, Profile, Wavelet};
use subband_nn::{Device, ErrorKind, Network, NetworkKind, Shortcut, Taps};

/// Blocky images, so that the maps have something to transform.
fn images(count: usize, seed: u32) -> Dataset {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut pixels = Vec::new();
    for _ in 0..count * 3 {
        let blocks: Vec<u8> = (0..64).map(|_| next()).collect();
        pixels.extend((0..1024).map(|at| blocks[at / 128 * 8 + at % 32 / 4]));
    }
    let labels = (0..count as u32).map(|i| i % 10).collect();
    Dataset::from_pixels("made-up", [3, 32, 32], 10, pixels, labels).unwrap()
}

fn network() -> Network {
    Network::init(NetworkKind::ResNet20, Shortcut::A, 5, &Device::default())
}

fn config() -> CalibrateConfig {
    CalibrateConfig::default().with_images(24).with_held_out_images(16)
}

fn profile(config: &CalibrateConfig) -> Profile {
    let (train, held_out) = (images(24, 1), images(16, 2));
    calibrate(&network(), &train, Some(&held_out), config, &mut ()).unwrap().profile
}

fn measure(profile: &Profile) -> Evaluation {
    let options = EvaluateOptions::default().with_weights("none");
    evaluate(&network(), &images(12, 3), profile, &options, &mut ()).unwrap()
}

#[test]
fn every_tap_is_coded_and_counted() {
    for (taps, count) in [(Taps::Blocks, 9), (Taps::Relu, 19)] {
        let report = measure(&profile(&config().with_taps(taps)));
        assert_eq!(report.rates.per_tap.len(), count);
        assert_eq!(report.taps, taps.to_string());
        assert_eq!(report.rates.per_tap[0].values % (12 * 16 * 32 * 32), 0);
        assert_eq!(report.rates.values, report.rates.per_tap.iter().map(|t| t.values).sum::<u64>());
        assert_eq!(report.rates.bytes, report.rates.per_tap.iter().map(|t| t.bytes).sum::<u64>());
        let fast = evaluate(
            &network(),
            &images(12, 3),
            &profile(&config().with_taps(taps)),
            &EvaluateOptions::default().with_effort(Effort::Fast),
            &mut (),
        );
        let fast = fast.unwrap();
        assert_eq!(fast.top1, report.top1);
        assert!(report.rates.order0_entropy_bits_per_value < fast.rates.bits_per_value);
        assert!(report.rates.bits_per_value < report.rates.self_contained_bits_per_value.unwrap());
        assert!(report.rates.bits_per_value < 6.0, "{}", report.rates.bits_per_value);
    }
}

#[test]
fn finer_steps_cost_bits_and_save_error() {
    let at = |k| measure(&profile(&config().with_rule(StepRule::Scale(k))));
    let (fine, coarse) = (at(0.05), at(1.0));
    assert!(fine.rates.bits_per_value > coarse.rates.bits_per_value + 2.0);
    // The first map is the same in both runs: later ones also carry what earlier ones lost.
    assert!(fine.rates.per_tap[0].mse < 0.02 * coarse.rates.per_tap[0].mse);
    assert_eq!(fine.rates.saturated, 0);
}

#[test]
fn another_profile_gives_its_codings_and_steps_by_a_factor() {
    let [fine, coarse] = [0.5, 1.0].map(|k| profile(&config().with_rule(StepRule::Scale(k))));
    let again = |factor| recalibrate(&network(), &images(24, 1), &fine, factor, 24, Effort::Default, &mut ());
    assert_eq!(again(1.0).unwrap().to_bytes(), fine.to_bytes());
    assert_eq!(again(2.0).unwrap().to_bytes(), coarse.to_bytes());
    assert!(again(f32::MAX).unwrap_err().to_string().contains("step"));
}

#[test]
fn the_error_is_that_of_the_quantizer() {
    // At a fine step the error is uniform within the step: step^2 / 12. Clamping at 0 only lowers it.
    let config = config().with_rule(StepRule::Scale(0.05)).with_wavelet(Wavelet::None, 0);
    let result = calibrate(&network(), &images(24, 1), None, &config, &mut ()).unwrap();
    let report = measure(&result.profile);
    let step = 0.05 * result.statistics[0].std;
    let ratio = report.rates.per_tap[0].mse / (step * step / 12.0);
    assert!((0.3..1.05).contains(&ratio), "{ratio}");
}

#[test]
fn a_rate_is_met_from_below() {
    let config = config().with_rule(StepRule::Bits(2.0));
    let (train, held_out) = (images(24, 1), images(16, 2));
    let result = calibrate(&network(), &train, Some(&held_out), &config, &mut ()).unwrap();
    let achieved = result.search.unwrap().achieved;
    assert!((1.9..=2.0).contains(&achieved), "{achieved}");
    let report = evaluate(&network(), &held_out, &result.profile, &EvaluateOptions::default(), &mut ());
    assert!((report.unwrap().rates.bits_per_value - achieved).abs() < 1e-9);
}

#[test]
fn a_target_drop_holds_on_the_held_out_images() {
    let config = config().with_rule(StepRule::TargetDrop(0.0));
    let (train, held_out) = (images(24, 1), images(16, 2));
    let result = calibrate(&network(), &train, Some(&held_out), &config, &mut ()).unwrap();
    assert!(result.search.unwrap().achieved <= 0.0);
    let report = evaluate(&network(), &held_out, &result.profile, &EvaluateOptions::default(), &mut ()).unwrap();
    assert!(report.top1 >= report.top1_uncompressed.unwrap());
}

#[test]
fn the_thesis_preset_drops_the_last_details() {
    let report = measure(&profile(&config().with_rule(StepRule::Thesis)));
    // 1 of 64 coefficients is left: 8 x 8 over 3 levels.
    let last = report.rates.per_tap.last().unwrap();
    assert!(last.zeros >= 63.0 / 64.0 && last.bits_per_value < 0.25, "{last:?}");
    assert!(report.rates.seg_bits_per_value > report.rates.order0_entropy_bits_per_value);
}

#[test]
fn the_same_figures_on_any_number_of_threads() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let profile = profile(&config());
            let mut report = measure(&profile);
            report.seconds = 0.0;
            (profile.to_bytes(), serde_json::to_string(&report).unwrap())
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (train, profile) = (images(24, 1), profile(&config()));
    let small = Dataset::from_pixels("small", [3, 16, 16], 10, vec![0; 768], vec![0]).unwrap();
    let refused = calibrate(&network(), &small, None, &config(), &mut ()).unwrap_err();
    assert!(refused.to_string().contains("small has images of [3, 16, 16]"), "{refused}");
    let bits = config().with_rule(StepRule::Bits(2.0));
    let refused = calibrate(&network(), &train, None, &bits, &mut ()).unwrap_err();
    assert!(refused.to_string().contains("held-out"), "{refused}");
    let never = config().with_rule(StepRule::Bits(1e-4));
    let refused = calibrate(&network(), &train, Some(&train), &never, &mut ()).unwrap_err();
    assert!(refused.to_string().contains("takes more than 0.0001 bits"), "{refused}");
    let other = Network::init(NetworkKind::ResNet32, Shortcut::A, 1, &Device::default());
    let refused = evaluate(&other, &train, &profile, &EvaluateOptions::default(), &mut ()).unwrap_err();
    assert_eq!(refused.to_string(), "the profile is for resnet20, the network is resnet32");
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_network_that_has_gone_bad_is_named_and_not_coded() {
    let mut tensors = network().to_tensors();
    let mut array = tensors.remove("layer1.1.bn2.bias").unwrap();
    array.values[3] = f32::NAN;
    tensors.insert("layer1.1.bn2.bias", array.shape, array.values);
    let bad = Network::from_tensors(NetworkKind::ResNet20, tensors, &Device::default()).unwrap();
    let refused = calibrate(&bad, &images(4, 1), None, &config(), &mut ()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NonFinite);
    let refused = evaluate(&bad, &images(4, 1), &profile(&config()), &EvaluateOptions::default(), &mut ());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::NonFinite);
}
