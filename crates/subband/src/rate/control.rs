//! Finds the step that meets a target of size or error by trying: every figure is one that a decoder
//! would see, never an estimate.

use crate::compress::Compressed;
use crate::config::Target;
use crate::error::{Error, Result};

/// Bisections after the target has been bracketed by a factor of two: the step is within 0.3% of the
/// best one.
const BISECTIONS: usize = 8;
/// Doublings or halvings of the first step before giving up.
const MAX_DOUBLINGS: usize = 100;
/// Steps stay within what `Steps` allows.
const STEP_RANGE: std::ops::RangeInclusive<f32> = 1e-30..=1e30;

/// The best attempt that meets `target`: the coarsest step for targets of quality, the finest for a
/// target of size. `attempt(step, measure_error)` compresses the tensor.
pub(crate) fn search_step(
    target: &Target,
    mut attempt: impl FnMut(f32, bool) -> Result<Compressed>,
) -> Result<Compressed> {
    let (measure, first) = match target {
        Target::MaxError(bound) => (true, *bound as f32),
        Target::Psnr(_) => (true, 1.0),
        _ => (false, 1.0),
    };
    // Quality is met by small steps, size by large ones: `good` is the side that meets the target.
    let meets = |tried: &Compressed| match (target, &tried.report.error) {
        (Target::MaxError(bound), Some(error)) => error.max <= *bound,
        (Target::Psnr(psnr), Some(error)) => error.psnr >= *psnr,
        (Target::BitsPerValue(bits), _) => tried.report.bits_per_value <= *bits,
        _ => unreachable!("other targets need no search, and errors were asked for"),
    };
    let towards_good = if measure { 0.5 } else { 2.0 };

    let mut step = first.clamp(1e-20, 1e20);
    let first_try = attempt(step, measure)?;
    let mut good = meets(&first_try).then(|| (step, first_try.clone()));
    let mut bad = if good.is_some() { None } else { Some(step) };
    let mut closest = first_try;
    for _ in 0..MAX_DOUBLINGS {
        if good.is_some() == bad.is_some() {
            break;
        }
        step *= if good.is_some() { 1.0 / towards_good } else { towards_good };
        if !STEP_RANGE.contains(&step) {
            break;
        }
        let tried = attempt(step, measure)?;
        if meets(&tried) {
            // Beyond a step that zeroes everything nothing changes any more.
            let settled = measure && tried.report.zeros == 1.0;
            good = Some((step, tried));
            if settled && bad.is_none() {
                break;
            }
        } else {
            bad = Some(step);
            closest = tried;
        }
        if good.is_none() && !measure && bad.is_some() && closest.report.zeros == 1.0 {
            break;
        }
    }
    let Some(mut good) = good else { return Err(unmet(target, &closest)) };
    if let Some(mut bad) = bad {
        for _ in 0..BISECTIONS {
            let middle = (good.0 * bad).sqrt();
            let tried = attempt(middle, measure)?;
            if meets(&tried) { good = (middle, tried) } else { bad = middle }
        }
    }
    Ok(good.1)
}

fn unmet(target: &Target, closest: &Compressed) -> Error {
    let report = &closest.report;
    Error::invalid(match (target, &report.error) {
        (Target::MaxError(bound), Some(error)) => {
            format!("a maximum error of {bound} cannot be met in this dtype: the closest try has {}", error.max)
        }
        (Target::Psnr(psnr), Some(error)) => {
            format!("a PSNR of {psnr} dB cannot be met: the closest try has {}", error.psnr)
        }
        (Target::BitsPerValue(bits), _) => format!(
            "{bits} bits per value cannot be met: a tensor of zeros of this shape takes {:.4}",
            report.bits_per_value
        ),
        _ => unreachable!("only these targets are searched for"),
    })
}
