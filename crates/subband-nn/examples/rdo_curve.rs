//! What rate-distortion optimised indices give at equal accuracy, on the 5,000 held-out CIFAR-10 images: the curve of a
//! profile's steps made coarser, and that of steps made finer with indices optimised.
//! `rdo_curve <network> <weights> <profile> <data folder>`.

mod common;

use std::path::Path;
use std::process::ExitCode;

use subband::{Effort, Limits, Profile};
use subband_nn::calibrate::recalibrate;
use subband_nn::data::Cifar10;
use subband_nn::evaluate::{EvaluateOptions, evaluate};
use subband_nn::{Device, Network};

/// Factors of the steps, and prices of a bit for each.
const POINTS: [(f32, &[f32]); 8] = [
    (0.7, &[0.05, 0.1]),
    (0.8, &[0.05, 0.1]),
    (0.9, &[0.03, 0.06, 0.1]),
    (1.0, &[0.0, 0.03, 0.06, 0.1]),
    (1.1, &[0.0]),
    (1.2, &[0.0]),
    (1.35, &[0.0]),
    (1.5, &[0.0]),
];

fn main() -> ExitCode {
    common::main(run)
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [network, weights, profile, data] = arguments else {
        common::usage("rdo_curve <network> <weights> <profile> <data folder>");
    };
    let network = Network::load(network.parse()?, Path::new(weights), &Device::default())?;
    let profile = Profile::from_bytes(&std::fs::read(profile)?, &Limits::default())?;
    let data = Cifar10::open(Path::new(data))?;
    let (train, held_out) = (data.train()?, data.held_out()?);
    println!("steps  lambda    bits   top-1");
    for (factor, lambdas) in POINTS {
        let scaled = recalibrate(&network, &train, &profile, factor, 2000, Effort::Default, &mut ())?;
        for &lambda in lambdas {
            let options =
                EvaluateOptions::default().with_uncompressed(false).with_self_contained(false).with_rdo(lambda);
            let found = evaluate(&network, &held_out, &scaled, &options, &mut ())?;
            println!("{factor:5} {lambda:7} {:7.4} {:6.2}%", found.rates.bits_per_value, found.top1);
        }
    }
    Ok(())
}
