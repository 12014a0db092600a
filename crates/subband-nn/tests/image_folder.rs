//! Retraining on a folder of photographs: an ImageNet network, interrupted within an epoch.

use std::path::Path;

use subband_nn::data::training_folder;
use subband_nn::retrain::{RetrainConfig, retrain_on};
use subband_nn::{Device, Network, NetworkKind, Progress, Shortcut, TensorMap};

/// Two classes of made-up pictures, and a file that is none.
fn photographs(folder: &Path) {
    for (class, name) in ["dots", "waves"].iter().enumerate() {
        std::fs::create_dir(folder.join(name)).unwrap();
        for number in 0..4 + class as u32 {
            let picture = image::RgbImage::from_fn(72, 60, |x, y| {
                let wave = ((x + 3 * number) as f32 / 5.0).sin() * ((y * class as u32) as f32 / 7.0).cos();
                image::Rgb([(128.0 + 100.0 * wave) as u8, (x * 3) as u8, (y * 4) as u8])
            });
            picture.save(folder.join(name).join(format!("{number}.png"))).unwrap();
        }
    }
    std::fs::write(folder.join("dots").join("broken.png"), b"no picture").unwrap();
}

/// Keeps messages; copies the run folder within the second epoch, as if the process had been killed there.
struct Watch<'a> {
    copy: Option<[&'a Path; 2]>,
    second: bool,
    messages: Vec<String>,
}

impl Progress for Watch<'_> {
    fn begin(&mut self, stage: &str, _total: u64) {
        self.second = stage.starts_with("epoch 2");
    }

    fn advance(&mut self, done: u64, _note: &str) {
        let Some([whole, broken]) = self.copy.filter(|_| self.second && done >= 3) else { return };
        for entry in std::fs::read_dir(whole).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, broken.join(path.file_name().unwrap())).unwrap();
        }
        self.copy = None;
    }

    fn message(&mut self, text: &str) {
        self.messages.push(text.to_owned());
    }
}

#[test]
fn a_retraining_that_is_killed_within_an_epoch_ends_as_the_unbroken_one() {
    let start = tempfile::tempdir().unwrap();
    photographs(start.path());
    let folder = tempfile::tempdir().unwrap();
    let weights = folder.path().join("w.safetensors");
    Network::init(NetworkKind::ResNet18, Shortcut::B, 1, &Device::flex()).save(&weights).unwrap();
    let parts = training_folder(start.path(), None, 4).unwrap();
    assert_eq!((parts.train.len(), parts.held_out.len()), (8, 2));

    let mut config = RetrainConfig::default().with_weights(&weights);
    config.training = config.training.with_network(NetworkKind::ResNet18);
    config.training.batch_size = 2;
    config.training.epochs = 2;
    config.training.learning_rate = 1e-4;
    config.training.checkpoint_steps = Some(1);
    config.distillation.weight = 0.0;
    config.finish.table_images = 2;
    config.finish.epoch_images = 1;
    config.finish.norm_batches = 1;
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = Some([whole.path(), broken.path()]);
    let mut killed = Watch { copy, second: false, messages: Vec::new() };
    let device = Device::flex();
    let outcome = retrain_on(&config, &parts.train, &parts.held_out, whole.path(), &device, &mut killed).unwrap();
    assert!(killed.messages.iter().any(|text| text.contains("broken.png")), "{:?}", killed.messages);
    assert!(outcome.epochs.iter().all(|epoch| epoch.train_loss.is_finite() && epoch.rate.is_some()));

    let mut resumed = Watch { copy: None, second: false, messages: Vec::new() };
    retrain_on(&config, &parts.train, &parts.held_out, broken.path(), &device, &mut resumed).unwrap();
    let resumes = |text: &String| text.contains("resumed after epoch 1 and");
    assert!(resumed.messages.iter().any(resumes), "{:?}", resumed.messages);
    let arrays = |folder: &Path| {
        let map = TensorMap::read(&folder.join("weights.safetensors")).unwrap();
        map.iter().map(|(name, array)| (name.to_owned(), array.clone())).collect::<Vec<_>>()
    };
    for ((name, a), (_, b)) in arrays(whole.path()).iter().zip(&arrays(broken.path())) {
        assert!(a == b, "{name} differs");
    }
    let profile = |folder: &Path| std::fs::read(folder.join("profile.sbp")).unwrap();
    assert!(profile(whole.path()) == profile(broken.path()));
}

#[test]
fn images_that_a_network_cannot_learn_are_refused() {
    let start = tempfile::tempdir().unwrap();
    photographs(start.path());
    let parts = training_folder(start.path(), None, 4).unwrap();
    let run = tempfile::tempdir().unwrap();
    let refused = |config: &RetrainConfig| {
        retrain_on(config, &parts.train, &parts.held_out, run.path(), &Device::flex(), &mut ()).unwrap_err().to_string()
    };
    let mut config = RetrainConfig::default().with_weights("none.safetensors");
    assert!(refused(&config).contains("images of [3, 224, 224]: resnet20 takes [3, 32, 32]"));
    config.training = config.training.with_network(NetworkKind::ResNet18);
    assert!(refused(&config).contains("batch_size = 128") && refused(&config).contains("8 training images"));
}
