//! The networks against published weights. Each test says that it skips where its data is not on this machine:
//! `SUBBAND_SHARED` (the folder with the weights and photographs) and `SUBBAND_CIFAR10` name the places.

use std::path::{Path, PathBuf};

use subband_nn::data::{Cifar10, Dataset, image_folder};
use subband_nn::{Device, Network, NetworkKind};

fn folder(variable: &str, fallback: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(fallback), PathBuf::from)
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = folder("SUBBAND_SHARED", "../../../shared/data").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: no {} (set SUBBAND_SHARED)", path.display());
    None
}

fn cifar10() -> Option<Cifar10> {
    let path = folder("SUBBAND_CIFAR10", "../../../shared/data/cifar10");
    match Cifar10::open(&path) {
        Ok(data) => Some(data),
        Err(error) => {
            println!("skipped: {error} (set SUBBAND_CIFAR10)");
            None
        }
    }
}

/// Images whose label ranks first, and among the first five.
fn hits(network: &Network, data: &Dataset, batch: usize) -> [usize; 2] {
    let mut hits = [0, 0];
    for batch in data.batches(batch) {
        let batch = batch.unwrap();
        let scores = network.forward(network.input(&batch)).unwrap();
        let scores = scores.into_data().try_to_vec::<f32>().unwrap();
        let classes = network.kind().classes();
        for (row, &label) in scores.chunks_exact(classes).zip(&batch.labels) {
            let above = row.iter().filter(|&&s| s > row[label as usize]).count();
            hits[0] += usize::from(above == 0);
            hits[1] += usize::from(above < 5);
        }
    }
    hits
}

#[test]
fn resnet20_classifies_9173_of_10000_test_images() {
    let (Some(weights), Some(data)) = (shared("resnet20-cifar10.safetensors"), cifar10()) else {
        return;
    };
    let network = Network::load(NetworkKind::ResNet20, &weights, &Device::default()).unwrap();
    let [top1, _] = hits(&network, &data.test().unwrap(), 250);
    println!("ResNet-20: {top1} of 10000");
    assert!(top1.abs_diff(9173) <= 2, "{top1} of 10000, expected 9173");
}

#[test]
fn resnet18_classifies_the_imagenet_sample_as_published() {
    let weights = shared("resnet18-imagenet.safetensors");
    let (Some(weights), Some(photographs)) = (weights, shared("imagenet-sample")) else {
        return;
    };
    let network = Network::load(NetworkKind::ResNet18, &weights, &Device::default()).unwrap();
    let data = image_folder(&photographs, None).unwrap();
    let [top1, top5] = hits(&network, &data, 25);
    println!("ResNet-18: {top1} and {top5} of {}", data.len());
    // 76.6 and 93.3% are known for 1,000 images of which these 500 are half.
    assert_eq!(data.len(), 500);
    assert!(top1.abs_diff(383) <= 12, "{top1} of 500");
    assert!(top5.abs_diff(466) <= 8, "{top5} of 500");
}

#[test]
fn the_labels_of_cifar10_are_evenly_spread() {
    let Some(data) = cifar10() else { return };
    let (train, held_out) = data.both().unwrap();
    assert_eq!((train.len(), held_out.len()), (45_000, 5_000));
    let mut counts = [0; 10];
    for batch in data.test().unwrap().batches(1000) {
        for label in batch.unwrap().labels {
            counts[label as usize] += 1;
        }
    }
    assert_eq!(counts, [1000; 10]);
    let again = data.held_out().unwrap();
    let image = |set: &Dataset| set.batch(&[4_999]).unwrap().pixels;
    assert_eq!(image(&again), image(&held_out));
}
