use serde::{Deserialize, Serialize};
use subband::{Coding, Steps, Wavelet};

use super::curve::{Curve, Point};
use super::form::{Form, group_of_subbands, group_shares, groups};
use super::probe::{Harm, Probe, Rate, Site};
use crate::calibrate::levels_of;
use crate::error::Result;

/// What was found out about one tap: the forms worth having, each with its curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Study {
    pub forms: Vec<(Form, Vec<Point>)>,
    /// Harm of a squared error of 1 a value in each group of subbands, of the best transform.
    pub sensitivities: Vec<f64>,
    /// Every form that was tried, with its bits where its harm is that of the others.
    pub tried: Vec<(String, f64)>,
}

/// Transforms that are tried where the planes are large enough.
const TRANSFORMS: [(Wavelet, u8); 8] = [
    (Wavelet::Haar, 1),
    (Wavelet::Haar, 2),
    (Wavelet::Haar, 3),
    (Wavelet::LeGall53, 2),
    (Wavelet::LeGall53, 3),
    (Wavelet::Cdf97, 2),
    (Wavelet::Cdf97, 3),
    (Wavelet::Db2, 2),
];
/// A little wider than rounding to nearest: what bits are worth at some two of them a value.
const ROUNDING: f32 = 0.42;
const OTHER_ROUNDINGS: [f32; 2] = [0.5, 0.35];
/// Rounding to nearest, with this share of errors passed on, is a form of its own; where it is the best, more is tried for as
/// long as it helps: early maps want less of it, late ones more. In a ResNet-18 a narrower rounding was never better with it.
const DIFFUSION: f32 = 0.5;
const MORE_DIFFUSION: [f32; 2] = [0.75, 1.0];
/// Steps on both sides of the one rule's, at which forms are compared.
const INNER: [f64; 2] = [0.7, 1.4];
/// Steps that the rates of a chosen form are measured at beside them, and one for a second look at its harm.
const OUTER: [f64; 2] = [0.35, 2.8];
const FAR: f64 = 2.2;
/// A transform, or none, is left out where it takes so many times the bits of the other at the same error.
const HOPELESS: f64 = 1.12;
/// Steps by channel make profiles large: they have to save this share.
const CHANNELS_SAVE: f64 = 0.985;
/// Groups of channels whose harm is measured.
const CHANNEL_GROUPS: usize = 3;
/// What counts as no error and no harm.
const LEAST: f64 = 1e-30;
/// Weights that are no more than this apart, in natural logarithms, are the same.
const SAME_WEIGHTS: f64 = 0.1;
/// Factors of steps stay within these.
const FACTORS: [f64; 2] = [0.2, 50.0];

/// A form in the course of its study.
struct Gauged {
    form: Form,
    /// Steps and what they take.
    rates: Vec<(f64, Rate)>,
    /// Logarithms of errors and of the harm they do.
    harms: Vec<(f64, f64)>,
}

impl Gauged {
    fn new(probe: &mut Probe<'_, '_>, form: Form, base: f64) -> Result<Self> {
        let mut gauged = Self { form, rates: Vec::new(), harms: Vec::new() };
        gauged.rate(probe, base, &INNER)?;
        gauged.harm(probe, base)?;
        Ok(gauged)
    }

    fn rate(&mut self, probe: &mut Probe<'_, '_>, base: f64, factors: &[f64]) -> Result<()> {
        for factor in factors {
            let step = base * factor;
            self.rates.push((step, probe.rate(&self.form.coding(step, probe.site.nonnegative))?));
        }
        self.rates.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(())
    }

    fn harm(&mut self, probe: &mut Probe<'_, '_>, step: f64) -> Result<()> {
        let Harm { mse, harm } = probe.harm(&self.form.coding(step, probe.site.nonnegative))?;
        self.harms.push((mse.max(LEAST).ln(), harm.max(LEAST).ln()));
        Ok(())
    }

    /// Harm at the steps whose rate is known, by way of their errors. It is nearly in proportion to them.
    fn points(&self) -> Vec<Point> {
        let count = self.harms.len() as f64;
        let slope = if self.harms.len() > 1 { slope(&self.harms).clamp(0.6, 1.6) } else { 1.0 };
        let offset = self.harms.iter().map(|(mse, harm)| harm - slope * mse).sum::<f64>() / count;
        let harm = |mse: f64| (offset + slope * mse.max(LEAST).ln()).exp();
        self.rates.iter().map(|(step, rate)| Point { step: *step, bits: rate.bits, harm: harm(rate.mse) }).collect()
    }

    /// Bits at a harm; what makes profiles large has to make up for it.
    fn score(&self, harm: f64) -> f64 {
        let bits = Curve::new(&self.points()).bits_at_harm(harm);
        if self.form.channels.is_some() { bits / CHANNELS_SAVE } else { bits }
    }
}

/// Measures forms around the step `base`.
pub(super) fn study(probe: &mut Probe<'_, '_>, base: f64, note: &mut dyn FnMut(&str)) -> Result<Study> {
    note("transforms");
    let mut forms = transforms(probe, base)?;
    let mut sensitivities = vec![1.0];
    for at in 0..forms.len() {
        if forms[at].levels > 0 {
            note("steps by subband");
            let found = sensitivities_of(probe, &forms[at], 2.0 * base)?;
            forms.push(Form { subbands: factors(&found, forms[at].levels), ..forms[at].clone() });
            sensitivities = found;
        }
    }
    forms.push(Form { diffusion: DIFFUSION, ..Form::plain(Wavelet::None, 0, 0.5) });
    note("forms");
    let mut gauged = Vec::new();
    for form in &forms {
        gauged.push(Gauged::new(probe, form.clone(), base)?);
    }
    note("steps by channel");
    // The transform with one step for all subbands is not worth a second look.
    let worth = |form: &&Form| form.levels == 0 || form.subbands.iter().any(|&factor| factor != 1.0);
    let worth: Vec<Form> = forms.iter().filter(worth).cloned().collect();
    let by_deviation = channel_factors(probe, 2.0 * base)?.map(|channels| (channels, false));
    let by_weights = probe.site.gains.as_deref().and_then(weight_factors).map(|channels| (channels, true));
    // Of two ways to tell channels apart, the one that is better with the first form is tried with the others.
    let mut ways = Vec::new();
    for (channels, by_weights) in [by_deviation, by_weights].into_iter().flatten() {
        let form = Form { channels: Some(channels), by_weights, ..worth[0].clone() };
        ways.push(Gauged::new(probe, form, base)?);
    }
    let harm = ways.first().map_or(1.0, |way| way.harms[0].1.exp());
    if let Some(better) = (0..ways.len()).min_by(|&a, &b| ways[a].score(harm).total_cmp(&ways[b].score(harm))) {
        let Form { channels, by_weights, .. } = ways[better].form.clone();
        for form in &worth[1..] {
            gauged.push(Gauged::new(probe, Form { channels: channels.clone(), by_weights, ..form.clone() }, base)?);
        }
    }
    gauged.extend(ways);
    // Compared at one harm: the middle of all.
    let harms = gauged.iter().flat_map(|gauged| &gauged.harms).map(|(_, harm)| harm);
    let harm = (harms.clone().sum::<f64>() / harms.count().max(1) as f64).exp();
    gauged.sort_by(|a, b| a.score(harm).total_cmp(&b.score(harm)));
    let mut tried: Vec<(String, f64)> = gauged.iter().map(|g| (g.form.title(), g.score(harm))).collect();
    // One with a transform and one without may change places along the curve; more are not worth their measurements.
    let best = gauged[0].form.clone();
    let other = gauged.iter().position(|gauged| (gauged.form.levels > 0) != (best.levels > 0));
    let other =
        other.filter(|&at| gauged[at].score(harm) < 1.04 * gauged[0].score(harm)).map(|at| gauged.swap_remove(at));
    gauged.truncate(1);
    gauged.extend(other);
    note("rounding");
    let mut better = |gauged: &mut Gauged, form: Form| -> Result<bool> {
        let other = Gauged::new(probe, form, base)?;
        let score = other.score(harm);
        tried.push((other.form.title(), score));
        let better = score < gauged.score(harm);
        if better {
            *gauged = other;
        }
        Ok(better)
    };
    if best.diffusion > 0.0 {
        for diffusion in MORE_DIFFUSION {
            if !better(&mut gauged[0], Form { diffusion, ..best.clone() })? {
                break;
            }
        }
    } else {
        for rounding in OTHER_ROUNDINGS {
            better(&mut gauged[0], Form { rounding, ..best.clone() })?;
        }
    }
    note("curves");
    for gauged in &mut gauged {
        gauged.rate(probe, base, &OUTER)?;
        gauged.harm(probe, FAR * base)?;
    }
    let forms = gauged.iter().map(|gauged| (gauged.form.clone(), gauged.points())).collect();
    Ok(Study { forms, sensitivities, tried })
}

/// No transform, and the best of them at the same error: one of both where the other is hopeless.
fn transforms(probe: &mut Probe<'_, '_>, base: f64) -> Result<Vec<Form>> {
    let planes = probe.site.planes;
    let mut forms = vec![Form::plain(Wavelet::None, 0, ROUNDING)];
    for (wavelet, levels) in TRANSFORMS {
        if levels_of(levels, planes) == levels {
            forms.push(Form::plain(wavelet, levels, ROUNDING));
        }
    }
    let mut lines = Vec::new();
    for form in &forms {
        let mut line = Vec::new();
        for factor in INNER {
            let rate = probe.rough_rate(&form.coding(base * factor, probe.site.nonnegative))?;
            line.push((rate.mse.max(LEAST).ln(), rate.bits));
        }
        lines.push(line);
    }
    let middle = (lines[0][0].0 + lines[0][1].0) / 2.0;
    let bits = |line: &Vec<(f64, f64)>| {
        let [(x0, y0), (x1, y1)] = [line[0], line[1]];
        if x1 > x0 { y0 + (y1 - y0) * (middle - x0) / (x1 - x0) } else { y0 }
    };
    let bits: Vec<f64> = lines.iter().map(bits).collect();
    let best = (1..forms.len()).min_by(|&a, &b| bits[a].total_cmp(&bits[b]));
    Ok(match best {
        None => vec![forms.swap_remove(0)],
        Some(best) if bits[0] > HOPELESS * bits[best] => vec![forms.swap_remove(best)],
        Some(best) if bits[best] > HOPELESS * bits[0] => vec![forms.swap_remove(0)],
        Some(best) => vec![forms[0].clone(), forms.swap_remove(best)],
    })
}

/// Steps of a size that does nothing.
const NOTHING: f64 = 1e-4;

/// Harm of a squared error of 1 a value in each group of subbands.
fn sensitivities_of(probe: &mut Probe<'_, '_>, form: &Form, step: f64) -> Result<Vec<f64>> {
    let of_subband = group_of_subbands(form.levels);
    let Site { nonnegative, statistics, .. } = probe.site;
    let nothing = (NOTHING * statistics.scale() / step).min(1.0);
    let mut found = Vec::new();
    for group in 0..groups(form.levels) {
        let subbands = of_subband.iter().map(|&of| if of == group { 1.0 } else { nothing }).collect();
        let coding = Form { subbands, ..form.clone() }.coding(step, *nonnegative);
        let harm = probe.harm(&coding)?;
        found.push(if harm.mse > 0.0 { harm.harm / harm.mse } else { f64::NAN });
    }
    Ok(found)
}

/// Factors of the steps of subbands: errors that harm four times as much have half the step.
fn factors(sensitivities: &[f64], levels: u8) -> Vec<f64> {
    let shares = group_shares(levels);
    let known = || sensitivities.iter().zip(&shares).filter(|(s, _)| s.is_finite());
    let weight: f64 = known().map(|(_, share)| share).sum();
    let mean = known().map(|(s, share)| s * share).sum::<f64>() / weight.max(1e-12);
    let factor = |s: f64| match s {
        s if !s.is_finite() || mean <= 0.0 => 1.0,
        s => (mean / s.max(1e-12 * mean)).sqrt().clamp(FACTORS[0], FACTORS[1]),
    };
    group_of_subbands(levels).into_iter().map(|group| factor(sensitivities[group])).collect()
}

/// Factors of the steps of channels, as a power of their deviation; `None` where harm does not depend on it.
fn channel_factors(probe: &mut Probe<'_, '_>, step: f64) -> Result<Option<Vec<f64>>> {
    let Site { nonnegative, statistics, .. } = probe.site;
    let std = &statistics.channel_std;
    let mut live: Vec<usize> = (0..std.len()).filter(|&channel| std[channel] > 1e-6 * statistics.scale()).collect();
    live.sort_by(|&a, &b| std[a].total_cmp(&std[b]));
    if live.len() < 4 * CHANNEL_GROUPS {
        return Ok(None);
    }
    let mut points = Vec::new();
    for group in live.chunks(live.len().div_ceil(CHANNEL_GROUPS)) {
        let mut steps = vec![vec![(NOTHING * statistics.scale()) as f32]; std.len()];
        group.iter().for_each(|&channel| steps[channel][0] = step as f32);
        let coding = Coding::new(Wavelet::None, 0, Steps::PerChannel(steps)).with_rounding(ROUNDING);
        let harm = probe.harm(&coding.with_nonnegative(*nonnegative))?;
        let ln_std = group.iter().map(|&channel| std[channel].ln()).sum::<f64>() / group.len() as f64;
        if harm.mse > 0.0 && harm.harm > 0.0 {
            points.push((ln_std, (harm.harm / harm.mse).ln()));
        }
    }
    if points.len() < 3 {
        return Ok(None);
    }
    let slope = slope(&points).clamp(-2.0, 1.0);
    if slope.abs() < 0.15 {
        return Ok(None);
    }
    let middle = points.iter().map(|point| point.0).sum::<f64>() / points.len() as f64;
    let factor = |&std: &f64| match std > 1e-6 * statistics.scale() {
        true => ((std.ln() - middle) * -slope / 2.0).exp().clamp(FACTORS[0], FACTORS[1]),
        false => 1.0,
    };
    Ok(Some(std.iter().map(factor).collect()))
}

/// Factors of the steps of channels by what the weights behind make of their errors: four times as much, half the step.
fn weight_factors(gains: &[f64]) -> Option<Vec<f64>> {
    let live = || gains.iter().filter(|&&gain| gain > 0.0);
    let middle = live().map(|gain| gain.ln()).sum::<f64>() / live().count().max(1) as f64;
    let spread = live().map(|gain| (gain.ln() - middle).abs()).fold(0.0, f64::max);
    let factor = |&gain: &f64| ((middle - gain.max(f64::MIN_POSITIVE).ln()) / 2.0).exp();
    (spread > SAME_WEIGHTS).then(|| gains.iter().map(|gain| factor(gain).clamp(FACTORS[0], FACTORS[1])).collect())
}

fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = (points.iter().map(|p| p.0).sum::<f64>() / count, points.iter().map(|p| p.1).sum::<f64>() / count);
    let up = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>();
    let across = points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    if across > 0.0 { up / across } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_by_hand() {
        // LL four times as harmful as the rest: half the step of it.
        let found = factors(&[4.0, 1.0], 1);
        assert!((found[1] / found[0] - 2.0).abs() < 1e-12 && found[1] == found[3]);
        // What does no harm has the largest step, what could not be measured that of the mean.
        let found = factors(&[1.0, 0.0, f64::NAN], 2);
        assert_eq!((found[1], found[4]), (FACTORS[1], 1.0));
        // A quarter and four times the middle; a channel that nothing reads has the largest step.
        assert_eq!(weight_factors(&[1.0, 16.0, 0.0]).unwrap(), [2.0, 0.5, FACTORS[1]]);
        assert_eq!(weight_factors(&[3.0, 3.0]), None);
        assert!((slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) - 2.0).abs() < 1e-12);
    }
}
