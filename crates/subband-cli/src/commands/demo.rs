//! `subband demo`: the whole method on a bundled network and bundled images, with nothing to fetch.

use std::io::{Cursor, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use image::{ImageFormat, RgbImage};
use subband::{Limits, Profile, Scratch, Subband, TapCodec, TapProfile};
use subband_nn::data::Dataset;
use subband_nn::evaluate::{EvaluateOptions, Evaluation, evaluate};
use subband_nn::{Device, Network, NetworkKind, TensorMap};

use crate::args::Threads;
use crate::output::{self, Output};
use crate::picture::{self, Channel};
use crate::progress::Bars;
use crate::{Ui, evaluation_report, models, table};

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
/// Channels in the picture.
const DRAWN: usize = 4;

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

    let picture = draw(&network, &images, usize::from(args.image), tap, &found)?;
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png)?;
    file.write_all(png.get_ref()).with_context(|| format!("cannot write {}", args.picture.display()))?;
    let to_stderr = file.is_stdout();
    file.commit()?;
    if ui.quiet {
        return Ok(());
    }
    let text = evaluation_report::text(&found);
    output::print(&format!("{text}{:16}{}\n", "picture", args.picture.display()), to_stderr)
}

/// The bundled images, cut out of their sheet.
fn sample() -> Result<Dataset> {
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

/// Draws the channels that change most over the plane: they show what the transform does.
fn draw(network: &Network, images: &Dataset, image: usize, tap: &TapProfile, found: &Evaluation) -> Result<RgbImage> {
    let [channels, height, width] = tap.shape();
    let map = network.maps(&images.batch(&[image])?, tap.name())?;
    let codec = TapCodec::new(tap)?;
    let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; map.len()]);
    codec.compress(&map, &mut scratch, &mut packet)?;
    codec.decompress(&packet, &mut scratch, &mut decoded)?;

    let mut subbands = vec![0.0; map.len()];
    codec.for_each_block(&scratch, |index, channel, block| {
        let subband = Subband::at(index, tap.coding().levels);
        let plane = &mut subbands[channel * height * width..][..height * width];
        place(plane, [height, width], subband, block);
    });

    let plane = |channel: usize| channel * height * width..(channel + 1) * height * width;
    let mut order: Vec<usize> = (0..channels).collect();
    order.sort_by(|&a, &b| deviation(&map[plane(b)]).total_cmp(&deviation(&map[plane(a)])));
    let drawn: Vec<Channel> = order[..DRAWN.min(channels)]
        .iter()
        .map(|&channel| Channel {
            index: channel,
            map: map[plane(channel)].to_vec(),
            subbands: subbands[plane(channel)].to_vec(),
            decoded: decoded[plane(channel)].to_vec(),
        })
        .collect();

    let bits = 8.0 * packet.len() as f64 / map.len() as f64;
    let title = [
        format!("{} {}, test image {image}: {}", found.network, tap.name(), table::shape(&tap.shape())),
        format!(
            "{} of {} levels, {} bytes, {bits:.2} bits a value, {:.1}x",
            tap.coding().wavelet,
            tap.coding().levels,
            table::count(packet.len() as u64),
            32.0 / bits
        ),
    ];
    Ok(picture::draw(&title, width, tap.coding().levels, &drawn))
}

/// Copies the indices of one subband to its place in the Mallat layout.
fn place(plane: &mut [f32], [height, width]: [usize; 2], subband: Subband, block: &[i32]) {
    use subband::Orientation::{HH, HL, LH};
    let low = |size: usize| (0..subband.level).fold(size, |size, _| size.div_ceil(2));
    let left = if matches!(subband.orientation, HL | HH) { low(width) } else { 0 };
    let top = if matches!(subband.orientation, LH | HH) { low(height) } else { 0 };
    // The width of this level's region, less the low half where the subband is the high one.
    let region = (1..subband.level).fold(width, |size, _| size.div_ceil(2));
    let columns = if left > 0 { region - left } else { low(width) };
    for (y, row) in block.chunks_exact(columns).enumerate() {
        for (x, &index) in row.iter().enumerate() {
            plane[(top + y) * width + left + x] = index as f32;
        }
    }
}

fn deviation(plane: &[f32]) -> f32 {
    let mean = plane.iter().sum::<f32>() / plane.len() as f32;
    plane.iter().map(|v| (v - mean) * (v - mean)).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subbands_take_their_places() {
        let mut plane = vec![0.0; 25];
        let levels = 2;
        // A 5x5 plane: regions 5, 3, 2.
        let blocks: [&[i32]; 7] = [&[1; 4], &[2; 2], &[3; 2], &[4; 1], &[5; 6], &[6; 6], &[7; 4]];
        for (index, block) in blocks.iter().enumerate() {
            place(&mut plane, [5, 5], Subband::at(index, levels), block);
        }
        let expected = [1, 1, 2, 5, 5, 1, 1, 2, 5, 5, 3, 3, 4, 5, 5, 6, 6, 6, 7, 7, 6, 6, 6, 7, 7];
        assert_eq!(plane, expected.map(|v| v as f32));
    }

    #[test]
    fn the_sample_is_complete() {
        let sample = sample().unwrap();
        assert_eq!((sample.len(), sample.classes()), (IMAGES, 10));
        // The first test image is a cat.
        assert_eq!(sample.batch(&[0]).unwrap().labels, [3]);
    }
}
