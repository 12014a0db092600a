//! Retrains with the codec in the loop: `retrain_resnet20 <cifar folder> <run folder> <config.json>`.

use std::path::Path;
use subband_nn::LogProgress;
use subband_nn::data::Cifar10;
use subband_nn::retrain::{RetrainConfig, retrain};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let config: RetrainConfig = serde_json::from_str(&std::fs::read_to_string(&arguments[2]).unwrap()).unwrap();
    let data = Cifar10::open(Path::new(&arguments[0])).unwrap();
    let outcome = retrain(&config, &data, Path::new(&arguments[1]), &mut LogProgress);
    match outcome {
        Ok(o) => println!("{:.3} bits, {:.2}%", o.held_out.bits_per_value, o.held_out.top1),
        Err(e) => eprintln!("error: {e}"),
    }
}
