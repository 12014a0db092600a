use std::collections::HashMap;

use serde::Serialize;

use super::batch_size;
use crate::data::Dataset;
use crate::error::{Error, ErrorKind, Result};
use crate::network::Network;
use crate::per_image::{for_each_image, one_per_thread};
use crate::progress::Progress;
use crate::taps::TapSite;

/// The values of one tap over all images, channels and places, without the codec.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TapStatistics {
    /// As a PyTorch user would name it.
    pub name: String,
    /// `[C, H, W]` of one image's map.
    pub shape: [usize; 3],
    /// How many values were seen.
    pub values: u64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// The smallest.
    pub min: f32,
    /// The largest.
    pub max: f32,
}

impl TapStatistics {
    /// `k` standard deviations. A map that is constant on every image has none; any step will do for it, and is `k`.
    pub(crate) fn step(&self, k: f64) -> f32 {
        (k * if self.std > 0.0 { self.std } else { 1.0 }) as f32
    }

    /// The largest value. A map that is zero on every image scales by anything, and is 1.
    pub(crate) fn scale(&self) -> f32 {
        if self.max > 0.0 { self.max } else { 1.0 }
    }
}

/// Sums over one image or, added in the order of the images, over many.
#[derive(Clone, Copy)]
struct Sums {
    count: u64,
    sum: f64,
    squares: f64,
    min: f32,
    max: f32,
}

impl Sums {
    const EMPTY: Self = Self { count: 0, sum: 0.0, squares: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY };

    fn of(map: &[f32]) -> Self {
        let mut sums = Self::EMPTY;
        for &value in map {
            sums.sum += f64::from(value);
            sums.squares += f64::from(value) * f64::from(value);
            sums.min = sums.min.min(value);
            sums.max = sums.max.max(value);
        }
        sums.count = map.len() as u64;
        sums
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    fn finish(self, site: &TapSite) -> TapStatistics {
        let count = self.count.max(1) as f64;
        let mean = self.sum / count;
        TapStatistics {
            name: site.name.clone(),
            shape: site.shape,
            values: self.count,
            mean,
            std: (self.squares / count - mean * mean).max(0.0).sqrt(),
            min: self.min,
            max: self.max,
        }
    }
}

/// One pass over `data` without the codec.
pub(crate) fn measure(
    network: &Network,
    data: &Dataset,
    sites: &[TapSite],
    progress: &mut dyn Progress,
) -> Result<Vec<TapStatistics>> {
    let index: HashMap<&str, usize> =
        sites.iter().enumerate().map(|(index, site)| (site.name.as_str(), index)).collect();
    let mut totals = vec![Sums::EMPTY; sites.len()];
    let mut threads = one_per_thread(|| Ok(()))?;
    progress.begin("measuring maps", data.len() as u64);
    let mut done = 0;
    for batch in data.batches(batch_size(network)) {
        let batch = batch?;
        done += batch.len() + batch.skipped.len();
        if batch.is_empty() {
            continue;
        }
        network.forward_tapped(network.input(&batch), &mut |site, map| {
            let Some(&tap) = index.get(site.name.as_str()) else {
                return Ok(map);
            };
            let sums = for_each_image(map.clone(), &mut threads, |(), map, _| Ok(Sums::of(map)))?;
            for sums in sums.1 {
                totals[tap].add(sums);
            }
            Ok(map)
        })?;
        progress.advance(done as u64, "");
    }
    let statistics: Vec<_> = sites.iter().zip(totals).map(|(site, sums)| sums.finish(site)).collect();
    // A NaN passes through min and max unseen, but not through a sum.
    match statistics.iter().find(|tap| !tap.std.is_finite()) {
        Some(tap) => {
            Err(Error::new(ErrorKind::NonFinite, format!("the maps of {} hold values that are not finite", tap.name)))
        }
        None if statistics.iter().any(|tap| tap.values == 0) => {
            Err(Error::data(format!("no image of {} could be decoded", data.name())))
        }
        None => Ok(statistics),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_by_hand() {
        let mut sums = Sums::of(&[1.0, 3.0]);
        sums.add(Sums::of(&[0.0, 4.0]));
        let site = TapSite { name: "x".into(), shape: [1, 1, 2], is_block_output: true };
        let tap = sums.finish(&site);
        assert_eq!((tap.values, tap.mean, tap.min, tap.max), (4, 2.0, 0.0, 4.0));
        // Squares 1 + 9 + 0 + 16 = 26, 26 / 4 - 4 = 2.5.
        assert!((tap.std - 2.5f64.sqrt()).abs() < 1e-12);
    }
}
