use subband::{Coding, Scratch, TapCalibrator, TapCodec};

use super::state::State;
use crate::calibrate::TapStatistics;
use crate::engine::Value;
use crate::error::Result;
use crate::layout::Planes;
use crate::maps::{one_per_thread, through};
use crate::measure::Measures;
use crate::network::{TappedNetwork, Walk};

/// A tap that is tuned.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub name: String,
    pub planes: Planes,
    pub nonnegative: bool,
    /// Of each channel, what the convolutions behind make of an error, where their weights tell.
    pub gains: Option<Vec<f64>>,
    pub statistics: TapStatistics,
}

/// Some inputs on their way through the network without the codec, and what comes out of it in the end.
pub(super) struct Convoy<'n> {
    parts: Vec<Part<'n>>,
    /// The first so many parts are coded to find rates.
    coded: usize,
    probabilities: bool,
    of_values: bool,
}

struct Part<'n> {
    walk: Walk<'n>,
    plain: Value,
    inputs: usize,
}

/// Weight of the outputs' relative squared error beside their divergence. Divergence comes from the few inputs that the network
/// is not sure of, and of a dozen inputs there may be one of those or none; the error comes from all alike.
const ERROR_WEIGHT: f64 = 1.0;
/// Inputs whose maps are really coded to find rates.
const CODED: usize = 12;
/// Of these, the ones that are enough for a rough look.
const ROUGHLY: usize = 4;

impl<'n> Convoy<'n> {
    /// One of these batches, before the first stage. `of_values`: harm is squared error of outputs, else divergence.
    pub fn new(
        network: &'n TappedNetwork,
        batches: Vec<(Value, usize)>,
        probabilities: bool,
        of_values: bool,
    ) -> Result<Self> {
        let mut parts = Vec::with_capacity(batches.len());
        for (value, inputs) in batches {
            let walk = network.begin(value)?;
            let plain = walk.clone().finish(&mut |_, map| Ok(map))?.swap_remove(0);
            parts.push(Part { walk, plain, inputs });
        }
        let mut seen = 0;
        let coded = parts.iter().take_while(|part| {
            let more = seen < CODED;
            seen += part.inputs;
            more
        });
        Ok(Self { coded: coded.count(), parts, probabilities, of_values })
    }

    /// The stage that comes next.
    pub fn stage(&self) -> usize {
        self.parts.first().map_or(0, |part| part.walk.stage())
    }

    /// Runs the next stage.
    pub fn advance(&mut self) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.walk.advance(&mut |_, map| Ok(map)))
    }

    /// The network's end with this tap's maps coded and no others.
    fn harm(&self, tap: usize, site: &Site, coding: &Coding) -> Result<Harm> {
        let calibrator = TapCalibrator::new(&site.name, site.planes.shape, coding.clone())?;
        let mut scratches = one_per_thread(Scratch::default);
        let (mut measures, mut squared, mut values) = (Measures::default(), 0.0, 0u64);
        for part in &self.parts {
            let Part { walk, plain, inputs } = part;
            let map = walked(part, tap).clone();
            let (decoded, errors) =
                through(&site.name, map, *inputs, &site.planes, &mut scratches, |scratch, map, decoded| {
                    calibrator.decode(map, scratch, decoded)?;
                    Ok(squared_error(map, decoded))
                })?;
            squared += errors.iter().sum::<f64>();
            values += (site.planes.values() * inputs) as u64;
            let mut walk = walk.clone();
            walk.replace(tap, decoded);
            let coded = walk.finish(&mut |_, map| Ok(map))?.swap_remove(0);
            measures.add(plain, &coded, None, self.probabilities)?;
        }
        let harm = match self.of_values {
            true => measures.mse(),
            false => measures.kl() + ERROR_WEIGHT * measures.relative_error(),
        };
        // What is not finite must not look cheap, and JSON has no infinity.
        let harm = if harm.is_finite() { harm } else { f64::MAX.sqrt() };
        Ok(Harm { mse: squared / values.max(1) as f64, harm })
    }

    /// The tap's maps coded to packets, those of at most so many inputs.
    fn rate(&self, tap: usize, site: &Site, coding: &Coding, most: usize) -> Result<Rate> {
        let mut left = most;
        let mut maps = Vec::new();
        for part in self.parts[..self.coded].iter() {
            if left > 0 {
                maps.push(walked(part, tap).first(left));
                left = left.saturating_sub(part.inputs);
            }
        }
        rate_of(site, coding, &maps)
    }
}

/// A part's maps at a tap of the stage that was just run.
fn walked<'a>(part: &'a Part<'_>, tap: usize) -> &'a Value {
    part.walk.map(tap).expect("the stage was just run")
}

/// Maps of so many inputs each, coded to packets with tables that are fitted to the same maps.
pub(super) fn rate_of(site: &Site, coding: &Coding, maps: &[(Value, usize)]) -> Result<Rate> {
    let fresh = TapCalibrator::new(&site.name, site.planes.shape, coding.clone())?;
    let mut fitted = count(site, fresh, maps)?;
    fitted.fit();
    let profile = count(site, fitted, maps)?.finish();
    let codec = TapCodec::new(&profile)?;
    let mut workers = one_per_thread(|| (Scratch::default(), Vec::new()));
    let (mut bytes, mut squared, mut values) = (0, 0.0, 0u64);
    for (map, inputs) in maps {
        let (_, coded) = through(
            &site.name,
            map.clone(),
            *inputs,
            &site.planes,
            &mut workers,
            |(scratch, packet): &mut (Scratch, Vec<u8>), map, decoded| {
                packet.clear();
                codec.compress(map, scratch, packet)?;
                codec.decompress(packet, scratch, decoded)?;
                Ok((packet.len(), squared_error(map, decoded)))
            },
        )?;
        for (length, error) in coded {
            bytes += length;
            squared += error;
        }
        values += (site.planes.values() * inputs) as u64;
    }
    let values = values.max(1) as f64;
    Ok(Rate { bits: 8.0 * bytes as f64 / values, mse: squared / values })
}

fn count(site: &Site, calibrator: TapCalibrator, maps: &[(Value, usize)]) -> Result<TapCalibrator> {
    let mut workers = one_per_thread(|| (calibrator.clone(), Scratch::default()));
    for (map, inputs) in maps {
        through(
            &site.name,
            map.clone(),
            *inputs,
            &site.planes,
            &mut workers,
            |(calibrator, scratch), map, decoded| Ok(calibrator.observe(map, scratch, decoded)?),
        )?;
    }
    let mut workers = workers.into_iter().map(|(calibrator, _)| calibrator);
    let mut all = workers.next().unwrap_or(calibrator);
    workers.for_each(|other| all.merge(&other));
    Ok(all)
}

fn squared_error(map: &[f32], decoded: &[f32]) -> f64 {
    map.iter().zip(decoded).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
}

/// What coding one tap does.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Harm {
    /// Mean squared error of the tap's values.
    pub mse: f64,
    /// Of the output, for each input.
    pub harm: f64,
}

/// What coding one tap takes.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Rate {
    /// Bits a value.
    pub bits: f64,
    /// Mean squared error of the tap's values.
    pub mse: f64,
}

/// Tries codings at one tap. Trials have numbers, so that a tap whose study was interrupted takes up what it had.
pub(super) struct Probe<'a, 'n> {
    pub convoy: &'a Convoy<'n>,
    pub tap: usize,
    pub site: &'a Site,
    of: &'a str,
    pub state: &'a mut State,
    tried: usize,
}

impl<'a, 'n> Probe<'a, 'n> {
    /// `of` names the study among others of this tap.
    pub fn new(convoy: &'a Convoy<'n>, tap: usize, site: &'a Site, of: &'a str, state: &'a mut State) -> Self {
        Self { convoy, tap, site, of, state, tried: 0 }
    }

    fn next(&mut self) -> String {
        self.tried += 1;
        format!("{}, {}, {:03}", self.site.name, self.of, self.tried)
    }

    pub fn harm(&mut self, coding: &Coding) -> Result<Harm> {
        let name = self.next();
        let (convoy, tap, site) = (self.convoy, self.tap, self.site);
        self.state.or_measure(&name, || convoy.harm(tap, site, coding))
    }

    pub fn rate(&mut self, coding: &Coding) -> Result<Rate> {
        self.rate_of_some(coding, usize::MAX)
    }

    /// Of a few inputs, to tell transforms apart: they take their maps alike.
    pub fn rough_rate(&mut self, coding: &Coding) -> Result<Rate> {
        self.rate_of_some(coding, ROUGHLY)
    }

    fn rate_of_some(&mut self, coding: &Coding, most: usize) -> Result<Rate> {
        let name = self.next();
        let (convoy, tap, site) = (self.convoy, self.tap, self.site);
        self.state.or_measure(&name, || convoy.rate(tap, site, coding, most))
    }
}
