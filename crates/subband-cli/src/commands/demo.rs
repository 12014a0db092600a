//! `subband demo`: the whole method on a bundled network and bundled images, with nothing to fetch.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use image::ImageFormat;
use subband::{Limits, Profile};
use subband_nn::data::Dataset;
use subband_nn::evaluate::{EvaluateOptions, evaluate};
use subband_nn::{Device, Network, NetworkKind, TensorMap};

use crate::args::Threads;
use crate::output::{self, Output};
use crate::progress::Bars;
use crate::{Ui, evaluation_report, map_picture, models};

/// Show the method at work, with nothing to fetch
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Classifies 500 CIFAR-10 test images with a ResNet-20 that this program carries. Every residual block's output is \
compressed to bytes and decompressed on the way. Prints the table of `subband eval` and draws one picture: a few \
channels of one map, their subbands, the decoded channels, and the error.

Examples:
  subband demo
  subband demo --picture /tmp/map.png --tap layer1.2 --image 7")]
pub struct Args {
    /// Picture to write (PNG); one that is there is overwritten
    #[arg(long, value_name = "FILE", default_value = "subband-demo.png")]
    picture: PathBuf,

    /// Tap whose map is drawn
    #[arg(long, value_name = "NAME", default_value = "layer1.0")]
    tap: String,

    /// Image whose map is drawn, 0 to 499
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..IMAGES as i64))]
    image: u16,

    #[command(flatten)]
    threads: Threads,
}

/// Where they come from: assets/README.md.
const SHEET: &[u8] = include_bytes!("../../assets/cifar10-test-500.png");
const LABELS: &str = include_str!("../../assets/cifar10-test-500-labels.txt");

const IMAGES: usize = 500;
const SIDE: usize = 32;

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let (weights, profile) = models::contents(models::DEFAULT)?;
    let profile = Profile::from_bytes(profile, &Limits::default())?;
    let tap = profile.tap(&args.tap)?;
    let network = Network::from_tensors(NetworkKind::ResNet20, TensorMap::from_bytes(weights)?, &Device::default())?;
    let images = sample()?;
    let mut file = Output::create(&args.picture, true)?;

    let options = EvaluateOptions::default().with_weights(format!("bundled, models/{}", models::DEFAULT));
    let mut bars = Bars::new(ui.quiet);
    let found = args.threads.run(|| Ok(evaluate(&network, &images, &profile, &options, &mut bars)?))?;
    drop(bars);

    let image = usize::from(args.image);
    let map = network.maps(&images.batch(&[image])?, tap.name())?;
    let picture = map_picture::draw(&format!("{}, test image {image}", found.network), &map, tap)?;
    file.write_all(&picture.to_png()?).with_context(|| format!("cannot write {}", args.picture.display()))?;
    let to_stderr = file.is_stdout();
    file.commit()?;
    if ui.quiet {
        return Ok(());
    }
    let text = evaluation_report::text(&found);
    output::print(&format!("{text}{:16}{}\n", "picture", args.picture.display()), to_stderr)
}

/// The bundled images, cut out of their sheet.
pub fn sample() -> Result<Dataset> {
    let sheet = image::load_from_memory_with_format(SHEET, ImageFormat::Png)?.into_rgb8();
    let columns = sheet.width() as usize / SIDE;
    let mut pixels = Vec::with_capacity(IMAGES * 3 * SIDE * SIDE);
    for index in 0..IMAGES {
        let (left, top) = (index % columns * SIDE, index / columns * SIDE);
        for channel in 0..3 {
            for y in top..top + SIDE {
                pixels.extend((left..left + SIDE).map(|x| sheet.get_pixel(x as u32, y as u32)[channel]));
            }
        }
    }
    let labels = LABELS.lines().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    Ok(Dataset::from_pixels("cifar10/test", [3, SIDE, SIDE], 10, pixels, labels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_complete() {
        let sample = sample().unwrap();
        assert_eq!((sample.len(), sample.classes()), (IMAGES, 10));
        // The first test image is a cat.
        assert_eq!(sample.batch(&[0]).unwrap().labels, [3]);
    }
}
