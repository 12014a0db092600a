use serde::{Deserialize, Serialize};
use subband::{Profile, Rates};

use super::{EvaluateOptions, Pass};
use crate::data::{Dataset, Skipped};
use crate::network::Network;
use crate::rank::Hits;
use crate::taps::Taps;

/// What an evaluation found. Accuracies are in per cent; bytes and values are sums over all images; bits are bits of
/// written packets over values, unless their name says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// The network's name.
    pub network: String,
    /// The weights, as the caller named them.
    pub weights: String,
    /// The data set's name.
    pub dataset: String,
    /// Images classified.
    pub images: usize,
    /// `blocks` or `relu` where the profile has exactly these, else `custom`.
    pub taps: String,
    /// Top-1 accuracy without the codec, per cent; `None` where it was not asked for.
    pub top1_uncompressed: Option<f64>,
    /// Top-1 accuracy with decoded maps fed onward, per cent.
    pub top1: f64,
    /// Top-5 accuracy without the codec, per cent.
    pub top5_uncompressed: Option<f64>,
    /// Top-5 accuracy with decoded maps fed onward, per cent.
    pub top5: f64,
    /// What the maps took.
    #[serde(flatten)]
    pub rates: Rates,
    /// Files that did not decode.
    pub skipped: Vec<Skipped>,
    /// Wall time.
    pub seconds: f64,
}

pub(super) fn assemble(
    network: &Network,
    data: &Dataset,
    profile: &Profile,
    options: &EvaluateOptions,
    pass: Pass,
    seconds: f64,
) -> Evaluation {
    let share = |hits: usize| 100.0 * hits as f64 / pass.images.max(1) as f64;
    Evaluation {
        network: network.kind().name().into(),
        weights: options.weights.clone(),
        dataset: data.name().into(),
        images: pass.images,
        taps: taps_name(network, profile),
        top1_uncompressed: pass.hits_uncompressed.map(|hits: Hits| share(hits.top1)),
        top1: share(pass.hits.top1),
        top5_uncompressed: pass.hits_uncompressed.map(|hits| share(hits.top5)),
        top5: share(pass.hits.top5),
        rates: Rates::new(profile, &pass.totals, pass.workers, options.self_contained),
        skipped: pass.skipped,
        seconds,
    }
}

fn taps_name(network: &Network, profile: &Profile) -> String {
    let coded: Vec<&str> = profile.taps().iter().map(|tap| tap.name()).collect();
    for taps in [Taps::Blocks, Taps::Relu] {
        let sites = network.sites().iter().filter(|site| taps.includes(site));
        if sites.map(|site| site.name.as_str()).eq(coded.iter().copied()) {
            return taps.to_string();
        }
    }
    "custom".into()
}
