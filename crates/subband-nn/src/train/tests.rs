use std::fs;
use std::path::Path;

use burn::tensor::Device;

use super::{EpochMetrics, TrainConfig, train_on};
use crate::data::{Dataset, made_up};
use crate::error::ErrorKind;
use crate::network::Network;
use crate::progress::Progress;
use crate::tensor_map::{Array, TensorMap};

fn images(count: usize) -> Dataset {
    made_up(count, 0)
}

fn config() -> TrainConfig {
    TrainConfig { batch_size: 4, epochs: 2, gradient_clip: Some(1.0), label_smoothing: 0.1, ..TrainConfig::default() }
}

/// Copies the run folder after its first epoch, as if the process had been killed there.
struct KilledAfterOne<'a>(&'a Path, &'a Path);

impl Progress for KilledAfterOne<'_> {
    fn epoch(&mut self, metrics: &EpochMetrics) {
        if metrics.epoch == 1 {
            for entry in fs::read_dir(self.0).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, self.1.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
}

fn arrays(folder: &tempfile::TempDir) -> Vec<(String, Array)> {
    let map = TensorMap::read(&folder.path().join("last.safetensors")).unwrap();
    map.iter().map(|(name, array)| (name.to_string(), array.clone())).collect()
}

/// `metrics.csv` without its times.
fn losses(folder: &tempfile::TempDir) -> Vec<String> {
    let text = fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
    text.lines().map(|line| line.rsplitn(3, ',').last().unwrap().to_string()).collect()
}

#[test]
fn resumed_and_repeated_runs_end_as_the_unbroken_one() {
    let (data, held_out) = (images(13), images(6));
    for (devices, batch_size) in [(1, 4), (2, 4), (3, 6)] {
        let config = TrainConfig { devices, batch_size, ..config() };
        let [whole, broken, again] = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let train = |folder: &tempfile::TempDir, progress: &mut dyn Progress| {
            train_on(&config, &data, &held_out, folder.path(), &Device::default(), progress).unwrap()
        };
        train(&whole, &mut KilledAfterOne(whole.path(), broken.path()));
        assert_eq!(train(&broken, &mut ()).epochs.len(), 2);
        train(&again, &mut ());
        for other in [&broken, &again] {
            for ((name, a), (_, b)) in arrays(&whole).iter().zip(&arrays(other)) {
                assert!(a == b, "{devices} devices: {name} differs");
            }
            assert_eq!(losses(&whole), losses(other));
        }
        assert_eq!(losses(&whole).len(), 3);
        let best = whole.path().join("best.safetensors");
        Network::load(config.network, &best, &Device::default()).unwrap();
    }
}

#[test]
fn a_folder_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config().with_epochs(1);
    train_on(&config, &images(4), &images(4), folder.path(), &Device::default(), &mut ()).unwrap();
    let other = config.with_seed(2);
    let error = train_on(&other, &images(4), &images(4), folder.path(), &Device::default(), &mut ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert!(error.to_string().contains("seed is 1 there and 2 here"), "{error}");
}

#[test]
fn other_numbers_of_devices_are_other_runs() {
    let folder = tempfile::tempdir().unwrap();
    let config = config().with_epochs(1);
    let train =
        |config: &TrainConfig| train_on(config, &images(4), &images(4), folder.path(), &Device::default(), &mut ());
    let error = train(&TrainConfig { devices: 0, ..config.clone() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    train(&config).unwrap();
    let error = train(&TrainConfig { devices: 2, ..config.clone() }).unwrap_err().to_string();
    assert!(error.contains("devices is 1 there and 2 here"), "{error}");
    // Runs from before there was a choice.
    let file = folder.path().join("config.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("devices = 1\n"), "{text}");
    fs::write(&file, text.replace("devices = 1\n", "")).unwrap();
    train(&config).unwrap();
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    for devices in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { learning_rate: 1e30, gradient_clip: None, devices, ..config() };
        let error = train_on(&config, &images(16), &images(4), folder.path(), &Device::default(), &mut ()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NonFinite);
        assert!(error.to_string().contains("at step"), "{error}");
    }
}

#[test]
fn training_learns_by_heart() {
    for (devices, batch_size, count) in [(1, 4, 8), (2, 4, 8), (3, 6, 12)] {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig {
            epochs: 12,
            flip: false,
            crop_padding: 0,
            learning_rate: 0.05,
            label_smoothing: 0.0,
            batch_size,
            devices,
            ..config()
        };
        let data = images(count);
        let outcome = train_on(&config, &data, &data, folder.path(), &Device::default(), &mut ()).unwrap();
        let (first, last) = (&outcome.epochs[0], &outcome.epochs[11]);
        assert!(last.train_loss < 0.5 * first.train_loss, "{devices} devices: {first}\n{last}");
    }
}
