//! A picture of a map: a few channels of one map, their subbands, the decoded map and the error.

use font8x8::legacy::BASIC_LEGACY;
use image::{Rgb, RgbImage};

/// Side of the square a plane of any size is drawn in, in pixels.
const TILE: usize = 224;
/// Space between the tiles.
const GAP: usize = 16;
/// Each pixel of a letter is this many pixels wide and high.
const LETTER_SCALE: usize = 2;
const LETTER: usize = 8 * LETTER_SCALE;
/// Space for one line of text above the tiles.
const LINE: usize = LETTER + 10;

const PAPER: Rgb<u8> = Rgb([255, 255, 255]);
const INK: Rgb<u8> = Rgb([32, 32, 32]);

/// One channel of a map: planes of `height * width` values, row by row.
pub struct Channel {
    pub index: usize,
    pub map: Vec<f32>,
    /// The quantized coefficients in the Mallat layout: LL in the upper left corner, the finest level outside.
    pub subbands: Vec<f32>,
    pub decoded: Vec<f32>,
}

/// Draws a row a channel under the lines of `title`, with the lines between the subbands of `levels` levels.
pub fn draw(title: &[String], size: [usize; 2], levels: u8, channels: &[Channel]) -> RgbImage {
    let heads = ["map", "subbands", "decoded", "error x4"];
    let left = 4 * LETTER + GAP;
    let top = GAP + (title.len() + 1) * LINE;
    let width = left + heads.len() * (TILE + GAP);
    let height = top + channels.len() * (TILE + GAP);
    let mut picture = RgbImage::from_pixel(width as u32, height as u32, PAPER);

    for (index, line) in title.iter().enumerate() {
        write(&mut picture, GAP, GAP + index * LINE, line);
    }
    for (column, head) in heads.iter().enumerate() {
        write(&mut picture, left + column * (TILE + GAP), top - LINE, head);
    }
    for (row, channel) in channels.iter().enumerate() {
        let y = top + row * (TILE + GAP);
        write(&mut picture, GAP, y + (TILE - LETTER) / 2, &format!("{:>3}", channel.index));
        // One scale for a row, so that the error can be compared with the map.
        let low = channel.map.iter().copied().fold(f32::INFINITY, f32::min);
        let range = (channel.map.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low).max(f32::MIN_POSITIVE);
        let largest = channel.subbands.iter().fold(0.0_f32, |m, v| m.max(v.abs())).max(f32::MIN_POSITIVE);
        let shade = |plane: &[f32], i: usize| sequential((plane[i] - low) / range);
        let tile = |column: usize| (left + column * (TILE + GAP), y);
        plane(&mut picture, tile(0), size, |i| shade(&channel.map, i));
        // Details are far smaller than LL: the logarithm shows both.
        plane(&mut picture, tile(1), size, |i| {
            let value = channel.subbands[i];
            diverging(value.signum() * (1.0 + value.abs()).ln() / (1.0 + largest).ln())
        });
        subband_lines(&mut picture, tile(1), size, levels);
        plane(&mut picture, tile(2), size, |i| shade(&channel.decoded, i));
        plane(&mut picture, tile(3), size, |i| diverging(4.0 * (channel.decoded[i] - channel.map[i]) / range));
    }
    picture
}

fn plane(
    picture: &mut RgbImage,
    (left, top): (usize, usize),
    [height, width]: [usize; 2],
    color: impl Fn(usize) -> Rgb<u8>,
) {
    for y in 0..TILE {
        for x in 0..TILE {
            let value = color(y * height / TILE * width + x * width / TILE);
            picture.put_pixel((left + x) as u32, (top + y) as u32, value);
        }
    }
}

fn subband_lines(picture: &mut RgbImage, (left, top): (usize, usize), size: [usize; 2], levels: u8) {
    let [mut height, mut width] = size;
    for _ in 0..levels {
        let [low_height, low_width] = [height.div_ceil(2), width.div_ceil(2)];
        let pixels = |part: usize, whole: usize| part * TILE / whole;
        // A plane of one row or column is not split in that direction.
        if low_width < width {
            let x = left + pixels(low_width, size[1]);
            (0..pixels(height, size[0])).for_each(|y| picture.put_pixel(x as u32, (top + y) as u32, INK));
        }
        if low_height < height {
            let y = top + pixels(low_height, size[0]);
            (0..pixels(width, size[1])).for_each(|x| picture.put_pixel((left + x) as u32, y as u32, INK));
        }
        [height, width] = [low_height, low_width];
    }
}

/// Dark to light, through blue and green: colours that keep their order in grey.
fn sequential(x: f32) -> Rgb<u8> {
    gradient(x, &[[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])
}

/// Blue below zero, white at it, red above.
fn diverging(x: f32) -> Rgb<u8> {
    gradient((x + 1.0) / 2.0, &[[33, 102, 172], [146, 197, 222], [247, 247, 247], [244, 165, 130], [178, 24, 43]])
}

fn gradient(x: f32, stops: &[[u8; 3]; 5]) -> Rgb<u8> {
    let x = x.clamp(0.0, 1.0) * 4.0;
    let stop = (x as usize).min(3);
    let part = x - stop as f32;
    let mix = |c: usize| f32::from(stops[stop][c]) * (1.0 - part) + f32::from(stops[stop + 1][c]) * part;
    Rgb([0, 1, 2].map(|c| mix(c) as u8))
}

/// Writes ASCII; what does not fit in the picture is left out.
fn write(picture: &mut RgbImage, left: usize, top: usize, text: &str) {
    for (index, letter) in text.bytes().enumerate() {
        let glyph = BASIC_LEGACY[usize::from(letter & 0x7f)];
        for y in 0..LETTER {
            for x in 0..LETTER {
                let (px, py) = ((left + index * LETTER + x) as u32, (top + y) as u32);
                // The font's lowest bit is the leftmost pixel.
                if glyph[y / LETTER_SCALE] >> (x / LETTER_SCALE) & 1 == 1 && px < picture.width() {
                    picture.put_pixel(px, py, INK);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plane_is_drawn_where_its_head_says() {
        let map: Vec<f32> = (0..64).map(|i| (i % 8) as f32).collect();
        let channel = Channel { index: 3, subbands: map.clone(), decoded: map.clone(), map };
        let picture = draw(&["a title".to_owned()], [8, 8], 1, &[channel]);
        let (left, top) = ((4 * LETTER + GAP) as u32, (GAP + 2 * LINE) as u32);
        assert_eq!(*picture.get_pixel(left, top), Rgb([68, 1, 84]));
        assert_eq!(*picture.get_pixel(left + TILE as u32 - 1, top), Rgb([253, 231, 37]));
        assert_eq!(*picture.get_pixel(left + TILE as u32, top), PAPER);
        // The line between the low and the high half.
        assert_eq!(*picture.get_pixel(left + (TILE + GAP + TILE / 2) as u32, top), INK);
        // No error: white.
        assert_eq!(*picture.get_pixel(left + 3 * (TILE + GAP) as u32, top), Rgb([247, 247, 247]));
        if let Ok(path) = std::env::var("SUBBAND_TEST_PICTURE") {
            picture.save(path).unwrap();
        }
    }
}
