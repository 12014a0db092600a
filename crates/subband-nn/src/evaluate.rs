//! Evaluation: accuracy and bytes with every map really compressed and decompressed on the way.

mod report;

use std::time::Instant;

use subband::{CodedTaps, Effort, Profile, Totals, Worker};

pub use report::Evaluation;

use crate::calibrate::{batch_size, check_images};
use crate::data::{Dataset, Skipped};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::per_image::{for_each_image, one_per_thread};
use crate::progress::Progress;
use crate::rank::{self, Hits};

/// What an evaluation measures beside accuracy and bytes, and how it names the weights.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EvaluateOptions {
    /// What the report says the weights are, such as their path. Default: empty.
    pub weights: String,
    /// Measure the accuracy without the codec too. Default: true.
    pub uncompressed: bool,
    /// Code every map a second time with its tables in the stream, for the self-contained rate. Default: true.
    pub self_contained: bool,
    /// Work of the entropy coder. Default: as its type's.
    pub effort: Effort,
    /// Rate-distortion optimised indices: a bit is worth so many squared steps, 0 to 10. Default 0, plain rounding.
    pub rdo: f32,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self { weights: String::new(), uncompressed: true, self_contained: true, effort: Effort::default(), rdo: 0.0 }
    }
}

impl EvaluateOptions {
    /// Named weights.
    pub fn with_weights(mut self, weights: impl Into<String>) -> Self {
        self.weights = weights.into();
        self
    }

    /// With or without the accuracy without the codec.
    pub fn with_uncompressed(mut self, uncompressed: bool) -> Self {
        self.uncompressed = uncompressed;
        self
    }

    /// With another effort.
    pub fn with_effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// With rate-distortion optimised indices.
    pub fn with_rdo(mut self, lambda: f32) -> Self {
        self.rdo = lambda;
        self
    }

    /// The taps of `profile`, prepared for these options; `sites` are the name and `[C, H, W]` of every map of the network.
    ///
    /// # Errors
    /// As [`CodedTaps::new`].
    pub fn coded_taps<'a>(
        &self,
        network: &str,
        sites: impl Iterator<Item = (&'a str, [usize; 3])> + Clone,
        profile: &Profile,
    ) -> Result<CodedTaps> {
        let taps = CodedTaps::new(network, sites, profile)?.with_effort(self.effort).with_rdo(self.rdo)?;
        Ok(taps.with_self_contained(self.self_contained))
    }

    /// With or without the self-contained rate.
    pub fn with_self_contained(mut self, self_contained: bool) -> Self {
        self.self_contained = self_contained;
        self
    }
}

/// Classifies `data` with the maps at the profile's taps compressed to packets, one an image and tap, and decompressed;
/// the network goes on with the decoded maps. Figures depend on neither threads nor their number.
///
/// # Errors
/// `InvalidArgument` for a profile of another network and for images the network cannot take; `NonFinite` for a map with
/// a NaN or infinity; `Codec` where a packet does not decode; `Data` where no image decodes.
pub fn evaluate(
    network: &Network,
    data: &Dataset,
    profile: &Profile,
    options: &EvaluateOptions,
    progress: &mut dyn Progress,
) -> Result<Evaluation> {
    let begun = Instant::now();
    let network = network.valid();
    let pass = run(&network, data, profile, options, "evaluating", progress)?;
    progress.end();
    Ok(report::assemble(&network, data, profile, options, pass, begun.elapsed().as_secs_f64()))
}

/// Bits per value of the packets alone, for a search.
pub(crate) fn bits_per_value(
    network: &Network,
    data: &Dataset,
    profile: &Profile,
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<f64> {
    let options = EvaluateOptions::default().with_uncompressed(false).with_self_contained(false);
    let pass = run(network, data, profile, &options, stage, progress)?;
    let bytes: u64 = pass.totals.iter().map(|tap| tap.bytes).sum();
    let values: u64 = pass.totals.iter().map(|tap| tap.values).sum();
    Ok(8.0 * bytes as f64 / values.max(1) as f64)
}

/// What one pass over the data gave.
pub(crate) struct Pass {
    taps: CodedTaps,
    totals: Vec<Totals>,
    workers: Vec<Worker>,
    hits: Hits,
    hits_uncompressed: Option<Hits>,
    images: usize,
    skipped: Vec<Skipped>,
}

fn run(
    network: &Network,
    data: &Dataset,
    profile: &Profile,
    options: &EvaluateOptions,
    stage: &str,
    progress: &mut dyn Progress,
) -> Result<Pass> {
    check_images(network, data)?;
    let sites = network.sites().iter().map(|site| (site.name.as_str(), site.shape));
    let taps = options.coded_taps(network.kind().name(), sites, profile)?;
    let mut pass = Pass {
        totals: vec![Totals::default(); taps.len()],
        workers: one_per_thread(|| Ok(Worker::new(&taps)))?,
        taps,
        hits: Hits::default(),
        hits_uncompressed: options.uncompressed.then(Hits::default),
        images: 0,
        skipped: Vec::new(),
    };
    progress.begin(stage, data.len() as u64);
    for batch in data.batches(batch_size(network)) {
        let batch = batch?;
        pass.images += batch.len();
        pass.skipped.extend(batch.skipped.iter().cloned());
        if batch.is_empty() {
            continue;
        }
        let images = network.input(&batch);
        if let Some(hits) = &mut pass.hits_uncompressed {
            let scores = network.forward(images.clone())?;
            hits.add(rank::hits(scores, &batch.labels)?);
        }
        let (taps, workers, totals) = (&pass.taps, &mut pass.workers, &mut pass.totals);
        let scores = network.forward_tapped(images, &mut |site, map| {
            let Some(tap) = taps.position(&site.name) else {
                return Ok(map);
            };
            let (decoded, coded) =
                for_each_image(map, workers, |worker, map, decoded| Ok(taps.code(tap, worker, map, decoded)?))?;
            for map in coded {
                totals[tap].add(&map);
            }
            Ok(decoded)
        })?;
        pass.hits.add(rank::hits(scores, &batch.labels)?);
        progress.advance((pass.images + pass.skipped.len()) as u64, "");
    }
    if pass.images == 0 {
        return Err(Error::data(format!("no image of {} could be decoded", data.name())));
    }
    Ok(pass)
}
