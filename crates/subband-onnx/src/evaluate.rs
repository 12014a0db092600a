//! Evaluation: what a network gives and what its maps take, with every map at a tap really compressed and decompressed.

use std::collections::HashMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use subband::{Profile, Rates, Totals, Worker};
use subband_nn::Progress;
use subband_nn::data::Skipped;
use subband_nn::evaluate::EvaluateOptions;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::layout::{Layout, Planes};
use crate::maps::{one_per_thread, through};
use crate::margin::Outcome;
use crate::measure::{Measured, Measures};
use crate::model::{Model, operator};
use crate::network::{TappedNetwork, image_input};
use crate::taps::{Candidate, TapChoice};

/// What an evaluation found. The fields of an evaluation of a bundled network, and more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelEvaluation {
    /// The model's name.
    pub network: String,
    /// The weights, as the caller named them.
    pub weights: String,
    /// What ran it.
    pub engine: String,
    /// The inputs' name.
    pub dataset: String,
    /// Inputs that went through.
    pub images: usize,
    /// `blocks` or `relu` where the profile has exactly these, else `custom`.
    pub taps: String,
    /// Accuracy and closeness of the outputs.
    #[serde(flatten)]
    pub measured: Measured,
    /// What the maps took.
    #[serde(flatten)]
    pub rates: Rates,
    /// The labelled inputs one by one, in their order. They are in no JSON: there may be many.
    #[serde(skip)]
    pub outcomes: Vec<Outcome>,
    /// Files that did not decode.
    pub skipped: Vec<Skipped>,
    /// Wall time.
    pub seconds: f64,
}

/// A model, what runs it, and where it can be tapped.
#[derive(Clone, Copy, Debug)]
pub struct Runnable<'a> {
    /// The model.
    pub model: &'a Model,
    /// What runs it.
    pub engine: &'a dyn Engine,
    /// All of its taps, for inputs of the shape in use.
    pub candidates: &'a [Candidate],
}

/// Runs `inputs` through a model, once as it is and once with the maps at the profile's taps compressed to packets, one
/// an input and tap, and decompressed; the network goes on with the decoded maps. Of `options` the uncompressed accuracy
/// is always measured.
///
/// # Errors
/// `InvalidArgument` for a profile of another network and inputs the network does not take; `NonFinite` for a map with a
/// NaN or infinity; `Unsupported` where the engine cannot run the model; `Data` where no input can be read.
pub fn evaluate(
    network: &Runnable<'_>,
    inputs: &Inputs,
    profile: &Profile,
    layout: Layout,
    options: &EvaluateOptions,
    progress: &mut dyn Progress,
) -> Result<ModelEvaluation> {
    let begun = Instant::now();
    let Runnable { model, engine, candidates } = *network;
    let sites = planes_of(profile, candidates, layout)?;
    let shapes = profile.taps().iter().zip(&sites).map(|(tap, planes)| (tap.name(), planes.shape));
    let coded = options.coded_taps(model.name(), shapes, profile)?;
    let names: Vec<String> = profile.taps().iter().map(|tap| tap.name().to_owned()).collect();
    let network = TappedNetwork::new(model, engine, &names)?;
    let mut workers = one_per_thread(|| Worker::new(&coded));
    let mut totals = vec![Totals::default(); names.len()];
    let (mut measures, mut skipped) = (Measures::default(), Vec::new());
    let probabilities = gives_probabilities(model);
    let size = batch_size(model, inputs)?;
    progress.begin("evaluating", inputs.len() as u64);
    for start in (0..inputs.len()).step_by(size) {
        let batch = inputs.batch(start, size)?;
        skipped.extend(batch.skipped);
        let Some(value) = batch.value else { continue };
        let plain = network.run(value.clone(), &mut |_, map| Ok(map))?;
        let decoded = network.run(value, &mut |tap, map| {
            let (decoded, maps) =
                through(&names[tap], map, batch.len, &sites[tap], &mut workers, |worker, map, out| {
                    Ok(coded.code(tap, worker, map, out)?)
                })?;
            maps.iter().for_each(|map| totals[tap].add(map));
            Ok(decoded)
        })?;
        measures.add(&plain[0], &decoded[0], batch.labels.as_deref(), probabilities)?;
        progress.advance((start + size).min(inputs.len()) as u64, "");
    }
    progress.end();
    if measures.images() == 0 {
        return Err(Error::data(format!("no input of {} could be read", inputs.name())));
    }
    Ok(ModelEvaluation {
        network: model.name().to_owned(),
        weights: options.weights.clone(),
        engine: engine.name(),
        dataset: inputs.name().to_owned(),
        images: measures.images(),
        taps: taps_name(candidates, &names),
        measured: measures.finish(),
        outcomes: measures.outcomes().to_vec(),
        rates: Rates::new(profile, &totals, workers, options.self_contained),
        skipped,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// How the maps of a profile's taps are seen as planes. A tap that the model has not is refused with the names of those it
/// has, unless they are many.
pub(crate) fn planes_of(profile: &Profile, candidates: &[Candidate], layout: Layout) -> Result<Vec<Planes>> {
    let by_name: HashMap<&str, &Candidate> = candidates.iter().map(|tap| (tap.name.as_str(), tap)).collect();
    let planes = |tap: &subband::TapProfile| {
        let candidate = by_name
            .get(tap.name())
            .ok_or_else(|| Error::argument(format!("the profile has a tap {}, which the model has not", tap.name())))?;
        layout.planes(tap.name(), &candidate.shape)
    };
    profile.taps().iter().map(planes).collect()
}

fn taps_name(candidates: &[Candidate], names: &[String]) -> String {
    for choice in [TapChoice::Blocks, TapChoice::Kind(crate::Kind::Relu)] {
        let chosen = choice.choose(candidates).unwrap_or_default();
        if !chosen.is_empty() && chosen.iter().map(|tap| &tap.name).eq(names) {
            return choice.to_string();
        }
    }
    "custom".into()
}

/// Whether the first output went through a softmax already.
pub(crate) fn gives_probabilities(model: &Model) -> bool {
    let output = model.outputs().into_iter().next().and_then(|output| model.producer(&output.name));
    output.is_some_and(|node| operator(model.node(node)) == "Softmax")
}

/// Inputs that go through the network together.
pub(crate) fn batch_size(model: &Model, inputs: &Inputs) -> Result<usize> {
    let input = image_input(model)?;
    match input.shape.first() {
        Some(Some(1)) => Ok(1),
        Some(&Some(fixed)) => Err(Error::argument(format!(
            "the model takes batches of {fixed} and no others: export it with a dynamic batch axis, or of 1"
        ))),
        // Enough to keep the threads busy; a photograph's largest map takes some 3 MB.
        _ => {
            let values = inputs.batch(0, 1)?.value.map_or(150_528, |value| value.shape.iter().product());
            Ok((1_600_000 / values.max(1)).clamp(1, 100))
        }
    }
}
