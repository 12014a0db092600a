use subband::{Profile, Scratch, TapCalibrator};

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

/// Images that the estimates of the activity models are fitted to; a few numbers a subband need no more.
const FITTED_IMAGES: usize = 1_000;

/// One pass over `data` in which every tapped map is quantized, counted, and its decoded form fed onward.
pub(super) fn count(
    network: &Network,
    data: &Dataset,
    codings: &[TapCoding],
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<Counted> {
    pass(network, data, &calibrators(codings)?, stage, progress)
}

/// Two passes, the first over some of `data`, so that the profile has activity models too.
pub(super) fn fit_and_count(
    network: &Network,
    data: &Dataset,
    codings: &[TapCoding],
    progress: &mut dyn Progress,
) -> Result<Counted> {
    let fresh = calibrators(codings)?;
    let mut fitted = pass(network, &data.spread(FITTED_IMAGES), &fresh, "fitting", progress)?.taps;
    fitted.iter_mut().for_each(TapCalibrator::fit);
    pass(network, data, &fitted, "counting", progress)
}

fn calibrators(codings: &[TapCoding]) -> Result<Vec<TapCalibrator>> {
    codings.iter().map(|tap| Ok(TapCalibrator::new(&tap.name, tap.shape, tap.coding.clone())?)).collect()
}

/// Every worker starts from `taps`, which have counted nothing.
fn pass(
    network: &Network,
    data: &Dataset,
    taps: &[TapCalibrator],
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<Counted> {
    let mut workers = one_per_thread(|| Ok(Worker { taps: taps.to_vec(), scratch: Scratch::default() }))?;
    let (mut saturated, mut correct, mut images, mut done) = (0, 0, 0, 0);
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
            let (decoded, clamped) = for_each_image(map, &mut workers, |worker, map, decoded| {
                let Worker { taps, scratch } = worker;
                Ok(taps[tap].observe(map, scratch, decoded)?.saturated)
            })?;
            saturated += clamped.iter().sum::<u64>();
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
    Ok(Counted { taps, saturated, correct, images })
}
