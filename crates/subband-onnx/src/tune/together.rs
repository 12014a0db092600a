use subband::{Coding, Scratch, TapCalibrator};

use super::budget::Trial;
use super::probe::{Site, rate_of};
use crate::engine::Value;
use crate::error::{Error, Result};
use crate::evaluate::batch_size;
use crate::inputs::Inputs;
use crate::maps::{one_per_thread, through};
use crate::measure::Measures;
use crate::model::Model;
use crate::network::TappedNetwork;

/// Inputs that all taps are coded on at once. Packets are written of a few only: decoded maps do not depend on tables.
pub(super) struct Together<'a> {
    network: &'a TappedNetwork,
    sites: &'a [Site],
    inputs: Inputs,
    batch: usize,
    probabilities: bool,
    /// Outputs without the codec, batch by batch, where they are few enough to be kept.
    plain: Vec<Option<Value>>,
}

/// Values of outputs that are kept.
const KEPT: usize = 1 << 24;
/// Inputs that packets are written of, and the most values of all their maps together.
const WRITTEN: usize = 6;
const WRITTEN_VALUES: usize = 1 << 24;

impl<'a> Together<'a> {
    pub fn new(
        model: &Model,
        network: &'a TappedNetwork,
        sites: &'a [Site],
        inputs: Inputs,
        probabilities: bool,
    ) -> Result<Self> {
        let batch = batch_size(model, &inputs)?;
        let plain = vec![None; inputs.len().div_ceil(batch)];
        Ok(Self { network, sites, inputs, batch, probabilities, plain })
    }

    /// Codes the taps' maps so.
    pub fn trial(&mut self, strength: f64, codings: &[Coding]) -> Result<Trial> {
        let calibrators = self.sites.iter().zip(codings);
        let calibrators = calibrators
            .map(|(site, coding)| Ok(TapCalibrator::new(&site.name, site.planes.shape, coding.clone())?))
            .collect::<Result<Vec<_>>>()?;
        let mut scratches = one_per_thread(Scratch::default);
        let mut measures = Measures::default();
        let mut written: Vec<Vec<(Value, usize)>> = vec![Vec::new(); self.sites.len()];
        let values = self.sites.iter().map(|site| site.planes.values()).sum::<usize>().max(1);
        let mut left = WRITTEN.min(WRITTEN_VALUES / values).max(1);
        for number in 0..self.plain.len() {
            let batch = self.inputs.batch(number * self.batch, self.batch)?;
            let Some(value) = batch.value else { continue };
            let plain = match self.plain[number].take() {
                Some(plain) => plain,
                None => self.network.run(value.clone(), &mut |_, map| Ok(map))?.swap_remove(0),
            };
            let coded = self.network.run(value, &mut |tap, map| {
                let Site { name, planes, .. } = &self.sites[tap];
                if left > 0 {
                    written[tap].push(map.first(left));
                }
                let (decoded, _) = through(name, map, batch.len, planes, &mut scratches, |scratch, map, decoded| {
                    Ok(calibrators[tap].decode(map, scratch, decoded)?)
                })?;
                Ok(decoded)
            })?;
            left = left.saturating_sub(batch.len);
            measures.add(&plain, &coded[0], batch.labels.as_deref(), self.probabilities)?;
            let values = plain.floats().map_or(0, <[f32]>::len);
            if (number + 1) * values <= KEPT {
                self.plain[number] = Some(plain);
            }
        }
        if measures.images() == 0 {
            return Err(Error::data(format!("no input of {} could be read", self.inputs.name())));
        }
        let mut bits = 0.0;
        for ((site, coding), maps) in self.sites.iter().zip(codings).zip(&written) {
            bits += rate_of(site, coding, maps)?.bits * site.planes.values() as f64;
        }
        Ok(Trial::new(strength, &measures, bits / values as f64))
    }
}
