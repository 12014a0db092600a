//! Arrays of Zarr with the codec, by `zarrs`: writes some, or gives the values of any part of one. The tests of the Python package
//! compare both with what Zarr's own implementation writes and reads.
//!
//! ```sh
//! cargo run --release -p subband-zarrs --example zarr_maps -- write FOLDER
//! cargo run --release -p subband-zarrs --example zarr_maps -- read FOLDER/lossless values.raw 0..4,2,0..9,3..5
//! ```
//!
//! `read` writes raw values in row-major order, in the byte order of this machine.

use std::error::Error;
use std::fs;
use std::ops::Range;
use std::sync::Arc;

use subband_zarrs::{StepConfiguration, SubbandCodec, SubbandConfiguration};
use zarrs::array::{Array, ArrayBuilder, ArrayBytes, ArraySubset, data_type};
use zarrs::filesystem::FilesystemStore;

const SHAPE: [u64; 4] = [6, 5, 9, 14];

/// Values of the arrays: small integers, so that every dtype holds them, with edges and slopes.
fn value(image: u64, channel: u64, y: u64, x: u64) -> u8 {
    let slope = 3 * x + 5 * y * (channel + 1);
    (slope + 17 * image).wrapping_rem(61).saturating_sub(20) as u8
}

fn values() -> impl Iterator<Item = u8> {
    let [images, channels, height, width] = SHAPE;
    (0..images * channels * height * width).map(move |at| {
        let (rest, x) = (at / width, at % width);
        let (rest, y) = (rest / height, rest % height);
        value(rest / channels, rest % channels, y, x)
    })
}

fn configurations() -> Vec<(&'static str, SubbandConfiguration)> {
    let base = SubbandConfiguration::default();
    vec![
        ("lossless", SubbandConfiguration { lossless: Some(true), channels_per_chunk: Some(2), ..base.clone() }),
        ("max_error", SubbandConfiguration { max_error: Some(0.5), ..base.clone() }),
        (
            "steps",
            SubbandConfiguration {
                step: Some(StepConfiguration::PerSubband(vec![0.5, 1.0, 1.0, 2.0])),
                wavelet: Some("cdf97".to_owned()),
                levels: Some(1),
                rounding: Some(0.4),
                effort: Some("fast".to_owned()),
                ..base
            },
        ),
    ]
}

/// An array for each configuration, f32, and a lossless one of u8.
fn write(folder: &str) -> Result<(), Box<dyn Error>> {
    let chunks = vec![4, 5, 9, 14];
    for (name, configuration) in configurations() {
        let store = Arc::new(FilesystemStore::new(format!("{folder}/{name}"))?);
        let array = ArrayBuilder::new(SHAPE.to_vec(), chunks.clone(), data_type::float32(), 0.0f32)
            .array_to_bytes_codec(Arc::new(SubbandCodec::new(configuration)?))
            .build(store, "/")?;
        array.store_metadata()?;
        array.store_array_subset(&array.subset_all(), values().map(f32::from).collect::<Vec<_>>())?;
    }
    let store = Arc::new(FilesystemStore::new(format!("{folder}/bytes"))?);
    let configuration = SubbandConfiguration { lossless: Some(true), ..Default::default() };
    let array = ArrayBuilder::new(SHAPE.to_vec(), chunks, data_type::uint8(), 0u8)
        .array_to_bytes_codec(Arc::new(SubbandCodec::new(configuration)?))
        .build(store, "/")?;
    array.store_metadata()?;
    array.store_array_subset(&array.subset_all(), values().collect::<Vec<_>>())?;
    Ok(())
}

/// `0..4,2` as ranges.
fn ranges(text: &str) -> Result<Vec<Range<u64>>, Box<dyn Error>> {
    let range = |part: &str| match part.split_once("..") {
        Some((start, end)) => Ok(start.parse()?..end.parse()?),
        None => part.parse::<u64>().map(|at| at..at + 1),
    };
    Ok(text.split(',').map(range).collect::<Result<_, _>>()?)
}

fn read(path: &str, raw: &str, part: Option<&str>) -> Result<(), Box<dyn Error>> {
    let array = Array::open(Arc::new(FilesystemStore::new(path)?), "/")?;
    let subset = match part {
        Some(part) => ArraySubset::new_with_ranges(&ranges(part)?),
        None => array.subset_all(),
    };
    let bytes: ArrayBytes = array.retrieve_array_subset(&subset)?;
    fs::write(raw, bytes.into_fixed()?)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", folder] => write(folder),
        ["read", path, raw] => read(path, raw, None),
        ["read", path, raw, part] => read(path, raw, Some(part)),
        _ => Err("usage: zarr_maps write FOLDER | zarr_maps read ARRAY RAW [PART]".into()),
    }
}
