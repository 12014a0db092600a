//! The picture of one image's map at a tap, as the codec sees it.

use std::io::Cursor;

use anyhow::Result;
use image::{ImageFormat, RgbImage};
use subband::{Scratch, Subband, TapCodec, TapProfile};

use crate::picture::{self, Channel};
use crate::table;

/// Channels in the picture.
const DRAWN: usize = 4;

/// The picture, and in words what it shows.
pub struct MapPicture {
    image: RgbImage,
    pub caption: String,
}

impl MapPicture {
    /// A PNG file.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut png = Cursor::new(Vec::new());
        self.image.write_to(&mut png, ImageFormat::Png)?;
        Ok(png.into_inner())
    }
}

/// Draws the channels of `map`, a `[C, H, W]` map at `tap`, that change most over the plane: they show what the transform does.
/// `what` says whose map it is.
pub fn draw(what: &str, map: &[f32], tap: &TapProfile) -> Result<MapPicture> {
    let [channels, height, width] = tap.shape();
    let codec = TapCodec::new(tap)?;
    let (mut scratch, mut packet, mut decoded) = (Scratch::default(), Vec::new(), vec![0.0; map.len()]);
    codec.compress(map, &mut scratch, &mut packet)?;
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
        format!("{what}, {}: {}", tap.name(), table::shape(&tap.shape())),
        format!(
            "{} of {} levels, {} bytes, {bits:.2} bits a value, {:.1}x",
            tap.coding().wavelet,
            tap.coding().levels,
            table::count(packet.len() as u64),
            32.0 / bits
        ),
    ];
    Ok(MapPicture {
        image: picture::draw(&title, [height, width], tap.coding().levels, &drawn),
        caption: title.join(": "),
    })
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
}
