use rayon::prelude::*;
use subband::{Effort, MapIndices, Profile, Scratch, TapCalibrator, TapProfile};

use super::{TapCoding, batch_size};
use crate::data::Dataset;
use crate::error::Result;
use crate::network::Network;
use crate::per_image::{for_each_image, one_per_thread};
use crate::progress::Progress;
use crate::rank;

/// What a pass with the codec in the loop counted.
pub(super) struct Counted {
    taps: Vec<TapCalibrator>,
    /// Of each tap, the maps of the first images, as many as were asked for; after training for effort max those that it has
    /// not seen.
    kept: Vec<Vec<MapIndices>>,
    pub saturated: u64,
    pub correct: usize,
    pub images: usize,
}

impl Counted {
    /// Makes tables of the counts.
    pub fn into_profile(self, network: &Network) -> Result<Profile> {
        Ok(Profile::new(network.kind().name(), finish(self.taps, &self.kept)?)?)
    }

    /// Share of the images classified right with decoded maps fed onward, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.images.max(1) as f64
    }
}

struct Worker {
    taps: Vec<TapCalibrator>,
    scratch: Scratch,
}

/// Images that the estimates of the spread models are fitted to; a few numbers a subband need no more.
const FITTED_IMAGES: usize = 1_000;
/// Indices that are kept, over all taps, to train what effort max codes with: half a gigabyte.
const KEPT_INDICES: usize = 1 << 28;
/// One in so many kept maps is not trained on, but never more than so many.
const HELD_OUT: usize = 8;
const MOST_HELD_OUT: usize = 32;
/// Of what is random in training.
const SEED: u64 = 1;

/// One pass over `data` in which every tapped map is quantized, counted, and its decoded form fed onward.
pub(super) fn count(
    network: &Network,
    data: &Dataset,
    codings: &[TapCoding],
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<Counted> {
    pass(network, data, &calibrators(codings)?, 0, stage, progress)
}

/// Two passes, the first over some of `data`, so that the profile has spread models too, and what `effort` needs.
pub(super) fn fit_and_count(
    network: &Network,
    data: &Dataset,
    codings: &[TapCoding],
    effort: Effort,
    progress: &mut dyn Progress,
) -> Result<Counted> {
    let fresh = calibrators(codings)?;
    let values: usize = codings.iter().map(|tap| tap.shape.iter().product::<usize>()).sum();
    let keep = if effort == Effort::Max { (KEPT_INDICES / values.max(1)).max(1) } else { 0 };
    let Counted { mut taps, kept, .. } = pass(network, &data.spread(FITTED_IMAGES), &fresh, keep, "fitting", progress)?;
    let held_out = fit(&mut taps, kept, effort, progress);
    Ok(Counted { kept: held_out, ..pass(network, data, &taps, 0, "counting", progress)? })
}

/// Fits the spread models to what was counted and, for effort max, trains its networks on the kept maps of each tap. Returns of
/// each tap the maps that were not trained on, for [`finish`].
pub fn fit(
    taps: &mut [TapCalibrator],
    kept: Vec<Vec<MapIndices>>,
    effort: Effort,
    progress: &mut dyn Progress,
) -> Vec<Vec<MapIndices>> {
    taps.par_iter_mut().for_each(TapCalibrator::fit);
    if effort == Effort::Max { train_max(taps, kept, progress) } else { Vec::new() }
}

/// A tap a thread; the models do not depend on how many there are. Lets the maps go that were trained on.
fn train_max(
    taps: &mut [TapCalibrator],
    mut kept: Vec<Vec<MapIndices>>,
    progress: &mut dyn Progress,
) -> Vec<Vec<MapIndices>> {
    progress.begin("training for effort max", taps.len() as u64);
    let at_once = rayon::current_num_threads();
    let mut done = 0;
    for (taps, kept) in taps.chunks_mut(at_once).zip(kept.chunks_mut(at_once)) {
        taps.par_iter_mut().zip(kept.par_iter_mut()).for_each(|(tap, kept)| {
            let held_out = hold_out(kept);
            tap.train_max(kept, SEED, &mut |_, _| {});
            // They are large.
            *kept = held_out;
        });
        done += taps.len();
        progress.advance(done as u64, "");
    }
    kept
}

/// Takes some of the maps out, from all over; none where there is but one.
fn hold_out<T>(maps: &mut Vec<T>) -> Vec<T> {
    if maps.len() < 2 {
        return Vec::new();
    }
    let one_in = maps.len().div_ceil(MOST_HELD_OUT).max(HELD_OUT).min(maps.len());
    let mut place = 0;
    maps.extract_if(.., |_| {
        place += 1;
        place % one_in == 0
    })
    .collect()
}

/// Makes tables of the counts. `held_out`, of each tap, are maps that were not trained on: networks that take more bytes there
/// than the default effort are left out, and networks of taps without such maps.
///
/// # Errors
/// `InvalidArgument` for maps of another size.
pub fn finish(taps: Vec<TapCalibrator>, held_out: &[Vec<MapIndices>]) -> Result<Vec<TapProfile>> {
    let of_tap = |at: usize| held_out.get(at).map_or(&[][..], Vec::as_slice);
    let taps: Vec<TapProfile> = taps.into_iter().map(TapCalibrator::finish).collect();
    taps.into_par_iter().enumerate().map(|(at, tap)| Ok(tap.with_max_where_it_saves(of_tap(at))?)).collect()
}

fn calibrators(codings: &[TapCoding]) -> Result<Vec<TapCalibrator>> {
    codings.iter().map(|tap| Ok(TapCalibrator::new(&tap.name, tap.shape, tap.coding.clone())?)).collect()
}

/// Every worker starts from `taps`, which have counted nothing. The indices of the first `keep` images are kept.
fn pass(
    network: &Network,
    data: &Dataset,
    taps: &[TapCalibrator],
    keep: usize,
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<Counted> {
    let mut workers = one_per_thread(|| Ok(Worker { taps: taps.to_vec(), scratch: Scratch::default() }))?;
    let (mut saturated, mut correct, mut images, mut done) = (0, 0, 0, 0);
    let mut kept: Vec<Vec<MapIndices>> = vec![Vec::new(); taps.len()];
    progress.begin(stage, data.len() as u64);
    for batch in data.batches(batch_size(network)) {
        let batch = batch?;
        done += batch.len() + batch.skipped.len();
        if batch.is_empty() {
            continue;
        }
        let scores = network.forward_tapped(network.input(&batch), &mut |site, map| {
            let Some(tap) = taps.iter().position(|tap| tap.name() == site.name) else {
                return Ok(map);
            };
            let wanted = keep > images;
            let (decoded, seen) = for_each_image(map, &mut workers, |worker, map, decoded| {
                let Worker { taps, scratch } = worker;
                let clamped = taps[tap].observe(map, scratch, decoded)?.saturated;
                Ok((clamped, wanted.then(|| taps[tap].indices(scratch))))
            })?;
            for (clamped, indices) in seen {
                saturated += clamped;
                if kept[tap].len() < keep {
                    kept[tap].extend(indices);
                }
            }
            Ok(decoded)
        })?;
        correct += rank::hits(scores, &batch.labels)?.top1;
        images += batch.len();
        progress.advance(done as u64, "");
    }
    let mut workers = workers.into_iter().map(|worker| worker.taps);
    let mut taps = workers.next().unwrap_or_default();
    for other in workers {
        for (tap, other) in taps.iter_mut().zip(&other) {
            tap.merge(other);
        }
    }
    Ok(Counted { taps, kept, saturated, correct, images })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_out_maps_by_hand() {
        let held_out = |count: usize| {
            let mut maps: Vec<usize> = (0..count).collect();
            let out = hold_out(&mut maps);
            assert_eq!(maps.len() + out.len(), count);
            out
        };
        assert_eq!((held_out(0), held_out(1), held_out(2), held_out(5)), (vec![], vec![], vec![1], vec![4]));
        assert_eq!(held_out(29), [7, 15, 23]);
        assert_eq!(held_out(100_000).len(), MOST_HELD_OUT);
    }
}
