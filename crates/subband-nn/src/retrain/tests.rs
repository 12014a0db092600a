use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use subband::{Scratch, TapCalibrator, TapCodec, Wavelet};

use super::codec_in_loop::{CodecInLoop, Position};
use super::finish::retrain_on;
use super::{RetrainConfig, SelectionMethod, StepGranularity};
use crate::data::{Dataset, made_up};
use crate::network::{Network, NetworkKind, Shortcut};
use crate::taps::Taps;
use crate::tensor_map::TensorMap;
use crate::train::{TrainConfig, train_on};

fn images(count: usize) -> Dataset {
    made_up(count, 0)
}

fn config(weights: &Path) -> RetrainConfig {
    let mut config = RetrainConfig::default().with_weights(weights);
    config.training.batch_size = 4;
    config.training.epochs = 2;
    config.finish.table_images = 4;
    config.finish.epoch_images = 4;
    config.finish.norm_batches = 2;
    config
}

fn saved_network(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("start.safetensors");
    Network::init(NetworkKind::ResNet20, Shortcut::A, 1, &Device::default()).save(&path).unwrap();
    path
}

/// What the codec itself makes of the maps that the layers see.
#[test]
fn layers_give_what_the_decoder_gives_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let weights = saved_network(folder.path());
    let device = Device::default().autodiff();
    let network = Network::load(NetworkKind::ResNet20, &weights, &device).unwrap();
    let data = images(3);
    for (wavelet, levels, steps, method) in [
        (Wavelet::Haar, 3, StepGranularity::Subband, SelectionMethod::None),
        (Wavelet::Cdf97, 2, StepGranularity::Channel, SelectionMethod::Random),
        (Wavelet::Db2, 3, StepGranularity::Subband, SelectionMethod::First),
        (Wavelet::LeGall53, 1, StepGranularity::Subband, SelectionMethod::Energy),
        (Wavelet::None, 0, StepGranularity::Channel, SelectionMethod::None),
    ] {
        let mut config = config(&weights);
        (config.codec.wavelet, config.codec.levels, config.codec.steps) = (wavelet, levels, steps);
        (config.codec.rounding, config.codec.reconstruction) = (0.4, 0.05);
        (config.selection.method, config.selection.retain) = (method, 0.5);
        config.selection.last_tap_approximation_only = true;
        let codec = CodecInLoop::new(&config, &network, &data, &mut ()).unwrap();
        let network = network.valid();
        let profile = codec.profile(&network, &data, &mut ()).unwrap();
        let batch = data.batch(&[0, 1, 2]).unwrap();
        let ours = codec.infer(&network, network.input(&batch)).unwrap();
        let theirs = network
            .forward_tapped(network.input(&batch), &mut |site, map| {
                let Ok(tap) = profile.tap(&site.name) else {
                    return Ok(map);
                };
                let tap = TapCodec::new(tap)?;
                let (shape, device) = (map.dims(), map.device());
                let values = map.into_data().try_to_vec::<f32>().unwrap();
                let mut decoded = vec![0.0; values.len()];
                let mut scratch = Scratch::default();
                for (map, decoded) in values.chunks(tap.values()).zip(decoded.chunks_mut(tap.values())) {
                    let mut packet = Vec::new();
                    tap.compress(map, &mut scratch, &mut packet)?;
                    tap.decompress(&packet, &mut scratch, decoded)?;
                }
                Ok(Tensor::from_data(TensorData::new(decoded, shape), &device))
            })
            .unwrap();
        let [ours, theirs] = [ours, theirs].map(|t| t.into_data().try_to_vec::<f32>().unwrap());
        assert_eq!(ours, theirs, "{wavelet}");
    }
}

/// The mean magnitudes that the estimate is made of, against the codec's own indices.
#[test]
fn the_estimate_follows_the_indices() {
    let folder = tempfile::tempdir().unwrap();
    let weights = saved_network(folder.path());
    let network = Network::load(NetworkKind::ResNet20, &weights, &Device::default().autodiff()).unwrap();
    let data = images(8);
    let mut config = config(&weights);
    config.rate.lambda = 1.0;
    let codec = CodecInLoop::new(&config, &network, &data, &mut ()).unwrap();
    let batch = data.batch(&[0, 1, 2, 3, 4, 5, 6, 7]).unwrap();
    let at = Position { step: 0, epoch: 5.0, factor: 1.0, shard: 0 };
    let pass = codec.forward(&network, network.input(&batch), at).unwrap();
    assert!((pass.price - pass.bits_per_value).abs() < 1e-12);
    // Coarser steps, fewer bits; noise changes little.
    let mut coarse = config.clone();
    coarse.codec.step_scale = 3.0;
    let coarse = CodecInLoop::new(&coarse, &network, &data, &mut ()).unwrap();
    let fewer = coarse.forward(&network, network.input(&batch), at).unwrap().bits_per_value;
    assert!(fewer < 0.7 * pass.bits_per_value, "{fewer} {}", pass.bits_per_value);
    let mut noisy = config.clone();
    noisy.codec.noise = true;
    let noisy = CodecInLoop::new(&noisy, &network, &data, &mut ()).unwrap();
    let noisy = noisy.forward(&network, network.input(&batch), at).unwrap().bits_per_value;
    // Noise gives zeros a magnitude, so sparse maps look dearer.
    assert!((0.5..2.0).contains(&(noisy / pass.bits_per_value)), "{noisy} {}", pass.bits_per_value);
}

#[test]
fn a_resumed_retraining_ends_as_the_unbroken_one() {
    let start = tempfile::tempdir().unwrap();
    let weights = saved_network(start.path());
    let (data, held_out) = (images(12), images(6));
    for (taps, method, devices) in [
        (Taps::Blocks, SelectionMethod::Gates, 1),
        (Taps::Relu, SelectionMethod::Thesis, 1),
        (Taps::Blocks, SelectionMethod::Gates, 3),
    ] {
        let mut config = config(&weights);
        config.taps = taps;
        (config.training.devices, config.training.batch_size) = (devices, if devices == 3 { 6 } else { 4 });
        config.selection.method = method;
        config.selection.retain = 0.5;
        let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let outcome = retrain_on(
            &config,
            &data,
            &held_out,
            whole.path(),
            &Device::default(),
            &mut Copy(whole.path(), broken.path()),
        )
        .unwrap();
        assert_eq!(outcome.epochs.len(), 2);
        retrain_on(&config, &data, &held_out, broken.path(), &Device::default(), &mut ()).unwrap();
        for name in ["last.safetensors", "weights.safetensors"] {
            let read = |folder: &Path| {
                let map = TensorMap::read(&folder.join(name)).unwrap();
                map.iter().map(|(n, a)| (n.to_string(), a.clone())).collect::<Vec<_>>()
            };
            for ((name, a), (_, b)) in read(whole.path()).iter().zip(&read(broken.path())) {
                assert!(a == b, "{taps}, {devices} devices: {name} differs");
            }
        }
        let profile = |folder: &Path| std::fs::read(folder.join("profile.sbp")).unwrap();
        assert!(profile(whole.path()) == profile(broken.path()));
        assert!(outcome.held_out.rates.bits_per_value > 0.0 && outcome.epochs[1].rate.is_some());
    }
}

/// Copies the run folder after its first epoch, as if the process had been killed there.
struct Copy<'a>(&'a Path, &'a Path);

impl crate::Progress for Copy<'_> {
    fn epoch(&mut self, metrics: &crate::train::EpochMetrics) {
        if metrics.epoch == 1 {
            for entry in std::fs::read_dir(self.0).unwrap() {
                let path = entry.unwrap().path();
                std::fs::copy(&path, self.1.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

/// A network that has learned eight images by heart learns other labels for them, with the codec in the loop.
#[test]
fn two_devices_learn_too() {
    let folder = tempfile::tempdir().unwrap();
    let training = TrainConfig {
        batch_size: 4,
        devices: 2,
        epochs: 12,
        learning_rate: 0.05,
        flip: false,
        crop_padding: 0,
        ..TrainConfig::default()
    };
    let data = images(8);
    let weights = train_on(&training, &data, &data, folder.path(), &Device::default(), &mut ()).unwrap().best_weights;
    let data = made_up(8, 5);
    let run = |folder: &tempfile::TempDir| {
        let mut config = config(&weights).with_lambda(0.1);
        config.training = TrainConfig { epochs: 8, ..training.clone() };
        config.codec.noise = true;
        config.distillation.weight = 0.0;
        retrain_on(&config, &data, &data, folder.path(), &Device::default(), &mut ()).unwrap()
    };
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let outcome = run(&first);
    let (begin, end) = (&outcome.epochs[0], &outcome.epochs[7]);
    assert!(end.train_loss < 0.5 * begin.train_loss, "{begin}\n{end}");
    run(&second);
    for name in ["weights.safetensors", "profile.sbp"] {
        let read = |folder: &tempfile::TempDir| std::fs::read(folder.path().join(name)).unwrap();
        assert!(read(&first) == read(&second), "{name} differs");
    }
}

#[test]
fn dearer_bits_are_fewer_bits() {
    let folder = tempfile::tempdir().unwrap();
    let weights = saved_network(folder.path());
    let data = images(16);
    let bits = |lambda: f64| {
        let run = tempfile::tempdir().unwrap();
        let mut config = config(&weights).with_lambda(lambda);
        config.training.epochs = 4;
        config.codec.step_learning_rate = 0.1;
        let outcome = retrain_on(&config, &data, &images(4), run.path(), &Device::default(), &mut ()).unwrap();
        outcome.held_out.rates.order0_entropy_bits_per_value
    };
    let (cheap, dear) = (bits(0.0), bits(20.0));
    assert!(dear < 0.7 * cheap, "{dear} {cheap}");
}

#[test]
fn another_networks_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    Network::init(NetworkKind::ResNet32, Shortcut::A, 1, &Device::default()).save(&path).unwrap();
    let run = tempfile::tempdir().unwrap();
    let error =
        retrain_on(&config(&path), &images(4), &images(4), run.path(), &Device::default(), &mut ()).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Weights);
    assert_eq!(std::fs::read_dir(run.path()).unwrap().count(), 0, "nothing is left behind");
    // The calibrator and the layers share one idea of what a tap is.
    assert!(
        TapCalibrator::new("x", [0, 1, 1], subband::Coding::new(Wavelet::Haar, 1, subband::Steps::Uniform(1.0)))
            .is_err()
    );
}
