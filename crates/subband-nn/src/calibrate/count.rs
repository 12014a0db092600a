use rayon::prelude::*;
use subband::{Effort, MapIndices, Profile, Scratch, TapCalibrator};

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
    /// Of each tap, the maps of the first images, as many as were asked for.
    kept: Vec<Vec<MapIndices>>,
    pub saturated: u64,
    pub correct: usize,
    pub images: usize,
}

impl Counted {
    /// Makes tables of the counts.
    pub fn into_profile(self, network: &Network) -> Result<Profile> {
        let taps = self.taps.into_iter().map(TapCalibrator::finish).collect();
        Ok(Profile::new(network.kind().name(), taps)?)
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
    taps.par_iter_mut().for_each(TapCalibrator::fit);
    if effort == Effort::Max {
        train_max(&mut taps, kept, progress);
    }
    pass(network, data, &taps, 0, "counting", progress)
}

/// Trains what effort max codes with on kept maps of each tap, which it lets go. A tap a thread; the models do not depend on
/// how many there are.
pub fn train_max(taps: &mut [TapCalibrator], mut kept: Vec<Vec<MapIndices>>, progress: &mut dyn Progress) {
    progress.begin("training for effort max", taps.len() as u64);
    let at_once = rayon::current_num_threads();
    let mut done = 0;
    for (taps, kept) in taps.chunks_mut(at_once).zip(kept.chunks_mut(at_once)) {
        taps.par_iter_mut().zip(kept.par_iter_mut()).for_each(|(tap, kept)| {
            tap.train_max(kept, SEED, &mut |_, _| {});
            // They are large.
            kept.clear();
        });
        done += taps.len();
        progress.advance(done as u64, "");
    }
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
