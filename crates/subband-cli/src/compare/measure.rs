//! Runs a coder on a sample, checks what comes back, and times it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::coder::{Check, Contender, Decoded, Input};
use super::row::Row;
use super::sample::{Distortion, Sample};
use crate::args;

/// How often a coder runs.
#[derive(Clone, Copy, Debug)]
pub struct Repeats {
    /// Timed repeats, of which the median counts.
    pub count: usize,
    /// A repeat runs the coder until this has passed: single calls on small maps are too short for the clock.
    pub least: Duration,
    /// No repeat begins when all of them together have taken this.
    pub most: Duration,
}

impl Repeats {
    pub fn of(count: usize) -> Self {
        Self { count, least: Duration::from_millis(2), most: Duration::from_secs(4) }
    }
}

/// Measures `contender` on the threads that it asks for.
pub fn measure(mut contender: Contender, sample: &Sample, repeats: Repeats, peak_bytes: Option<u64>) -> Result<Row> {
    let pool = args::pool(contender.threads)?;
    let run = pool.install(|| run(&mut contender, sample, repeats));
    let run = run.with_context(|| format!("{}: {} {}", sample.name, contender.codec, contender.effort))?;
    let values = sample.values.len();
    let speed = |time: f64| sample.given_bytes as f64 / 1e6 / time;
    Ok(Row {
        tensor: sample.name.clone(),
        shape: sample.shape.clone(),
        values,
        input: contender.input.label(sample),
        kind: contender.input.kind(sample),
        codec: contender.codec,
        effort: contender.effort,
        threads: contender.threads,
        bytes: run.bytes,
        ratio_f32: 4.0 * values as f64 / run.bytes.max(1) as f64,
        bits_per_value: 8.0 * run.bytes as f64 / values as f64,
        rmse: run.error.rmse,
        max_error: run.error.max,
        compress_mb_s: speed(median(run.compress)),
        decompress_mb_s: speed(median(run.decompress)),
        peak_bytes,
        verified: run.verified,
        family: contender.family,
        given_bytes: sample.given_bytes,
    })
}

struct Run {
    bytes: usize,
    error: Distortion,
    verified: bool,
    /// Seconds a call, one for each repeat.
    compress: Vec<f64>,
    decompress: Vec<f64>,
}

fn run(contender: &mut Contender, sample: &Sample, repeats: Repeats) -> Result<Run> {
    let (mut out, mut decoded) = (Vec::new(), Decoded::default());
    // Once without the clock, to fill caches and buffers.
    contender.coder.compress(sample, &mut out)?;
    contender.coder.decompress(&out, sample, &mut decoded)?;
    let error = distortion(contender.input, sample, &decoded);
    let mut run = Run {
        bytes: out.len(),
        error,
        verified: is_right(contender.check, contender.input, sample, &decoded),
        compress: Vec::new(),
        decompress: Vec::new(),
    };
    let start = Instant::now();
    for repeat in 0..repeats.count {
        if repeat > 0 && start.elapsed() > repeats.most {
            break;
        }
        run.compress.push(time(repeats.least, || {
            out.clear();
            contender.coder.compress(sample, &mut out)
        })?);
        // What an earlier run left must not pass for a result.
        decoded.values.fill(f32::NAN);
        decoded.indices.fill(i16::MIN);
        run.decompress.push(time(repeats.least, || contender.coder.decompress(&out, sample, &mut decoded))?);
        run.verified &= out.len() == run.bytes && is_right(contender.check, contender.input, sample, &decoded);
    }
    Ok(run)
}

/// Seconds a call, over as many calls as fill `least`.
fn time(least: Duration, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    let mut calls = 0;
    loop {
        call()?;
        calls += 1;
        let elapsed = start.elapsed();
        if elapsed >= least {
            return Ok(elapsed.as_secs_f64() / f64::from(calls));
        }
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let middle = times.len() / 2;
    if times.len() % 2 == 1 { times[middle] } else { (times[middle - 1] + times[middle]) / 2.0 }
}

fn distortion(input: Input, sample: &Sample, decoded: &Decoded) -> Distortion {
    match input.quantized(sample) {
        Some(quantized) => quantized.error,
        None => Distortion::between(&sample.values, &decoded.values),
    }
}

fn is_right(check: Check, input: Input, sample: &Sample, decoded: &Decoded) -> bool {
    if let Some(quantized) = input.quantized(sample) {
        return quantized.indices.as_ref() == Some(&decoded.indices);
    }
    if decoded.values.len() != sample.values.len() {
        return false;
    }
    let error = Distortion::between(&sample.values, &decoded.values);
    match check {
        Check::Exact => sample.values.iter().zip(&decoded.values).all(|(a, b)| a.to_bits() == b.to_bits()),
        Check::Rmse(most) => error.rmse <= most,
        Check::MaxError(most) => error.max <= most,
    }
}

#[cfg(test)]
mod tests {
    use super::super::coder::{Coder, Family, of_sample};
    use super::super::sample::{Quantization, StepRule};
    use super::*;
    use subband::{Tensor, Wavelet};

    const QUICK: Repeats = Repeats { count: 2, least: Duration::ZERO, most: Duration::from_secs(60) };

    fn sample(step: f32) -> Sample {
        let values: Vec<f32> = (0..2 * 9 * 11).map(|i| (i * i % 37) as f32 / 9.0 - 1.0).collect();
        let tensor = Tensor::new(values.iter().map(|v| v.max(0.0)).collect::<Vec<f32>>(), &[2, 9, 11]).unwrap();
        let how = Quantization { wavelet: Wavelet::Haar, levels: 2, step: StepRule::Step(step), width: None };
        Sample::new("maps".into(), &tensor, &how, None).unwrap()
    }

    #[test]
    fn every_coder_verifies() {
        // Indices of 8 bits, of 16, and beyond.
        for step in [0.1, 0.001, 1e-5] {
            let sample = sample(step);
            let all = of_sample(&sample, 2, &[]).unwrap();
            assert!(all.len() >= 8, "{}", all.len());
            for contender in all {
                let key = contender.key();
                let row = measure(contender, &sample, QUICK, None).unwrap();
                assert!(row.verified, "{key}: {row:?}");
                assert!(row.bytes > 0 && row.compress_mb_s > 0.0 && row.decompress_mb_s > 0.0, "{key}");
            }
        }
    }

    /// Decodes right once, and never again.
    struct Forgetful(bool);

    impl Coder for Forgetful {
        fn compress(&mut self, _: &Sample, out: &mut Vec<u8>) -> Result<()> {
            out.push(0);
            Ok(())
        }

        fn decompress(&mut self, _: &[u8], sample: &Sample, out: &mut Decoded) -> Result<()> {
            if !std::mem::replace(&mut self.0, true) {
                out.values = sample.values.clone();
            }
            Ok(())
        }
    }

    #[test]
    fn what_is_wrong_in_any_run_does_not_verify() {
        let contender = |forgot| Contender {
            codec: "x".into(),
            effort: String::new(),
            family: Family::FloatLossless,
            input: Input::F32,
            threads: 1,
            check: Check::Exact,
            coder: Box::new(Forgetful(forgot)),
        };
        let sample = sample(0.1);
        for forgot in [true, false] {
            assert!(!measure(contender(forgot), &sample, QUICK, None).unwrap().verified);
        }
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
