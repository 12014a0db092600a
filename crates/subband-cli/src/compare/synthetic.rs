//! Maps that look like ReLU outputs, for a comparison without data or network.
//!
//! Each plane is white noise smoothed by a box of three, as often as its channel says, scaled to deviation 1, shifted so that
//! between 35% and 95% of it is below zero, cut off at zero, and scaled by a gain that differs from channel to channel; one
//! channel in sixteen is dead. Neighbouring channels share a part of their noise. Everything is drawn by SplitMix64 from
//! a constant seed and computed in f64, additions in a fixed order: the maps are the same on every machine.

use subband::Tensor;

/// Names and shapes: a stem, a middle and a late map of a residual network for photographs, and a batch of small maps.
const MAPS: [(&str, &[usize]); 4] = [
    ("synthetic.64x112x112", &[64, 112, 112]),
    ("synthetic.128x28x28", &[128, 28, 28]),
    ("synthetic.512x7x7", &[512, 7, 7]),
    ("synthetic.8x16x32x32", &[8, 16, 32, 32]),
];

pub fn tensors() -> Vec<(String, Tensor)> {
    let maps = MAPS.iter().enumerate();
    maps.map(|(seed, (name, shape))| ((*name).to_owned(), tensor(seed as u64, shape))).collect()
}

/// A map of a few kilobytes.
pub fn small() -> Tensor {
    tensor(0, &[4, 16, 16])
}

fn tensor(seed: u64, shape: &[usize]) -> Tensor {
    let [.., channels, height, width] = *shape else { unreachable!("maps have three axes at least") };
    let mut rng = SplitMix64(seed);
    let planes = shape.iter().product::<usize>() / (height * width);
    let mut values = Vec::with_capacity(planes * height * width);
    let mut shared = vec![0.0; height * width];
    for plane in 0..planes {
        let channel = plane % channels;
        // Four channels share a part of their noise.
        if channel % 4 == 0 {
            shared.iter_mut().for_each(|value| *value = rng.noise());
        }
        let mut noise: Vec<f64> = shared.iter().map(|shared| 0.6 * shared + 0.8 * rng.noise()).collect();
        for _ in 0..1 + channel % 4 {
            smooth(&mut noise, height, width);
        }
        normalize(&mut noise);
        // Below zero: from 35% (-0.4 deviations) to 95% (1.6) of a normal plane.
        let shift = 2.0 * (channel * 7 % 16) as f64 / 15.0 - 0.4;
        let gain = if channel % 16 == 11 { 0.0 } else { 0.25 + (channel * 5 % 16) as f64 / 8.0 };
        values.extend(noise.iter().map(|value| ((value - shift).max(0.0) * gain) as f32));
    }
    Tensor::new(values, shape).expect("as many values as the shape says")
}

/// The mean of three neighbours along rows, then along columns, the edges repeated.
fn smooth(plane: &mut [f64], height: usize, width: usize) {
    let mut pass = |count: usize, step: usize, starts: &mut dyn Iterator<Item = usize>| {
        for start in starts {
            let line: Vec<f64> = (0..count).map(|i| plane[start + i * step]).collect();
            for i in 0..count {
                let (before, after) = (line[i.saturating_sub(1)], line[(i + 1).min(count - 1)]);
                plane[start + i * step] = (before + line[i] + after) / 3.0;
            }
        }
    };
    pass(width, 1, &mut (0..height).map(|y| y * width));
    pass(height, width, &mut (0..width));
}

/// To mean 0 and deviation 1.
fn normalize(plane: &mut [f64]) {
    let count = plane.len() as f64;
    let mean = plane.iter().sum::<f64>() / count;
    let deviation = (plane.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count).sqrt();
    plane.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
}

/// Steele, Lea and Flood 2014.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// About normal, of deviation 1: twelve uniform numbers, which need no function that machines may round differently.
    fn noise(&mut self) -> f64 {
        (0..12).map(|_| (self.next() >> 11) as f64 / (1u64 << 53) as f64).sum::<f64>() - 6.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use subband::TensorData;

    #[test]
    fn the_maps_are_those_of_every_machine_and_look_like_relu_outputs() {
        let tensor = tensor(1, MAPS[1].1);
        let TensorData::F32(values) = tensor.data() else { panic!("f32") };
        let zeros = values.iter().filter(|&&v| v == 0.0).count() as f64 / values.len() as f64;
        assert!((0.6..0.8).contains(&zeros), "{zeros}");
        assert!(values.iter().all(|&v| (0.0..20.0).contains(&v)));
        // The products of the bits: a change of one value changes it.
        let digest =
            values.iter().fold(0u64, |digest, v| (digest ^ u64::from(v.to_bits())).wrapping_mul(0x100_0000_01B3));
        assert_eq!(digest, DIGEST);
    }

    const DIGEST: u64 = 0x5290_2715_2AB0_190E;
}
