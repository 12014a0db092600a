//! Makes the sample that `subband demo` carries: the first 500 CIFAR-10 test images on one sheet, and their labels.
//!
//! ```text
//! subband data cifar10 --dir /tmp/cifar10
//! cargo run --release -p subband-cli --example make_sample -- /tmp/cifar10 crates/subband-cli/assets
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{RgbImage, imageops};

const IMAGES: u32 = 500;
const SIDE: u32 = 32;
/// Images in one row of the sheet.
const COLUMNS: u32 = 25;

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [data, assets] = folders.as_slice() else {
        return Err("usage: make_sample DATA ASSETS".into());
    };
    // One image a row, 1,024 pixels in raster order.
    let rows = image::open(data.join("test_batch.png"))?.into_rgb8();
    let mut sheet = RgbImage::new(COLUMNS * SIDE, IMAGES / COLUMNS * SIDE);
    for index in 0..IMAGES {
        let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| *rows.get_pixel(y * SIDE + x, index));
        let (column, row) = (index % COLUMNS, index / COLUMNS);
        imageops::replace(&mut sheet, &picture, (column * SIDE).into(), (row * SIDE).into());
    }
    let file = BufWriter::new(File::create(assets.join("cifar10-test-500.png"))?);
    sheet.write_with_encoder(PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive))?;

    let labels: Vec<u8> = serde_json::from_slice(&fs::read(data.join("test_lables.json"))?)?;
    let lines: String = labels.iter().take(IMAGES as usize).map(|label| format!("{label}\n")).collect();
    fs::write(assets.join("cifar10-test-500-labels.txt"), lines)?;
    Ok(())
}
