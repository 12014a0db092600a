//! Writes the maps of a network as .npy files of f32, `[N, C, H, W]`, one a tap:
//! `tap_maps <network> <weights> <data folder> <images> <output folder>`. The input of the comparisons in `bench/`.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use subband_nn::data::{Cifar10, image_folder};
use subband_nn::{Device, Network, NetworkKind};

fn main() -> ExitCode {
    common::main(run)
}

fn run(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let [network, weights, data, images, output] = arguments else {
        common::usage("tap_maps <network> <weights> <data folder> <images> <output folder>");
    };
    let kind: NetworkKind = network.parse()?;
    let network = Network::load(kind, Path::new(weights), &Device::default())?;
    let images = images.parse()?;
    let data = Path::new(data);
    let data = if kind.is_imagenet() {
        image_folder(data, None)?.spread(images)
    } else {
        Cifar10::open(data)?.test()?.limit(images)
    };
    let positions: Vec<usize> = (0..data.len()).collect();
    let batch = data.batch(&positions)?;
    fs::create_dir_all(output)?;
    network.forward_tapped(network.input(&batch), &mut |site, map| {
        let file = Path::new(output).join(format!("{}.npy", site.name));
        let values: Vec<f32> = map.to_data().iter().collect();
        write_npy(&file, map.dims(), &values).expect("the folder can be written to");
        Ok(map)
    })?;
    Ok(())
}

/// The NPY format, version 1: a dictionary padded to 64 bytes, then the values.
fn write_npy(file: &Path, shape: [usize; 4], values: &[f32]) -> std::io::Result<()> {
    let [n, c, h, w] = shape;
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({n}, {c}, {h}, {w}), }}");
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    header += &" ".repeat(length - header.len() - 1);
    header.push('\n');
    let mut file = std::io::BufWriter::new(fs::File::create(file)?);
    file.write_all(b"\x93NUMPY\x01\x00")?;
    file.write_all(&(length as u16).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))?;
    file.flush()
}
