use subband::{Coding, Steps, Wavelet};

use super::curve::{Curve, Point};
use super::probe::Site;
use super::report::{FormBits, TunedTap, steps_by_subband};
use super::study::Study;
use crate::calibrate::levels_of;

/// Settings of all taps that one number chooses among.
pub(super) enum Family {
    /// e to that number is the step scale.
    Rule(Wavelet, u8),
    /// e to minus that number is what harm is worth in bits.
    Studies(Vec<Study>),
}

/// How one tap is coded.
pub(super) struct Setting {
    pub coding: Coding,
    pub predicted: Option<Point>,
    /// What was found out about the tap, and which of its forms it has.
    pub study: Option<(Study, usize)>,
}

impl Family {
    /// How every tap is coded at a strength.
    pub fn at(&self, strength: f64, sites: &[Site]) -> Vec<Setting> {
        match self {
            Self::Rule(wavelet, levels) => sites
                .iter()
                .map(|site| {
                    let step = (strength.exp() * site.statistics.scale()).clamp(1e-30, 1e30);
                    let levels = levels_of(*levels, site.planes);
                    let wavelet = if levels == 0 { Wavelet::None } else { *wavelet };
                    let coding =
                        Coding::new(wavelet, levels, Steps::Uniform(step as f32)).with_nonnegative(site.nonnegative);
                    Setting { coding, predicted: None, study: None }
                })
                .collect(),
            Self::Studies(studies) => sites
                .iter()
                .zip(studies)
                .map(|(site, study)| {
                    let choices = study.forms.iter().enumerate().map(|(at, (_, points))| {
                        let (point, cost) = Curve::new(points).best(site.planes.values() as f64, (-strength).exp());
                        (at, point, cost)
                    });
                    let (at, point, _) = choices.min_by(|a, b| a.2.total_cmp(&b.2)).expect("every tap has a form");
                    let coding = study.forms[at].0.coding(point.step, site.nonnegative);
                    Setting { coding, predicted: Some(point), study: Some((study.clone(), at)) }
                })
                .collect(),
        }
    }

    /// For names of measurements.
    pub fn name(&self) -> String {
        match self {
            Self::Rule(wavelet, levels) => format!("one rule, {wavelet} {levels}"),
            Self::Studies(_) => "studied".into(),
        }
    }

    /// The same without what was predicted.
    pub fn codings(&self, strength: f64, sites: &[Site]) -> Vec<Coding> {
        self.at(strength, sites).into_iter().map(|setting| setting.coding).collect()
    }
}

/// For the report.
pub(super) fn tuned_tap(site: &Site, tap: &subband::TapProfile, setting: Setting) -> TunedTap {
    let coding = tap.coding();
    let subbands = 3 * usize::from(coding.levels) + 1;
    let details = (subbands - 1) * site.planes.shape[0];
    let kept = coding.mask.as_ref().map_or(details, |mask| {
        let of_channel = |channel| (1..subbands).filter(|&subband| mask.keeps(channel, subband)).count();
        (0..site.planes.shape[0]).map(of_channel).sum()
    });
    let (curve, forms, sensitivities) = match setting.study {
        Some((study, at)) => {
            let forms = study.tried.into_iter().map(|(form, bits)| FormBits { form, bits }).collect();
            (study.forms[at].1.clone(), forms, study.sensitivities)
        }
        None => Default::default(),
    };
    TunedTap {
        name: site.name.clone(),
        shape: site.planes.shape,
        wavelet: coding.wavelet.to_string(),
        levels: coding.levels,
        rounding: coding.rounding,
        diffusion: coding.diffusion,
        steps_by_channel: matches!(coding.steps, Steps::PerChannel(_)),
        steps: steps_by_subband(&coding.steps, coding.levels),
        masked: if details == 0 { 0.0 } else { 1.0 - kept as f64 / details as f64 },
        std: site.statistics.std,
        predicted: setting.predicted,
        curve,
        forms,
        sensitivities,
    }
}
