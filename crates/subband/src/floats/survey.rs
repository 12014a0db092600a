//! The encoder's choice of parameters, from a sample of the values. Whatever it chooses, every value can be
//! coded: those that do not fit are escaped. Only the dropped zero bits must hold for all.

use super::model::{BOUNDS, FloatFormat, FloatParameters, KEYED};

/// Values looked at, about: one of 64, but no fewer than choices need and no more than are felt.
fn sample_size(values: usize) -> usize {
    (values / 64).clamp(1 << 13, 1 << 16)
}

/// What is known of a tensor before its parameters are chosen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    /// Values in the tensor.
    pub values: usize,
    /// Bits that any value has.
    pub any: u32,
    /// Some of the values.
    pub sample: Vec<u32>,
}

/// Every so manyth value of each chunk is in the sample. Odd, so that it does not keep to a column of planes.
pub(crate) fn sample_stride(values: usize) -> usize {
    (values / sample_size(values)) | 1
}

impl Survey {
    /// Adds a chunk.
    pub fn add(&mut self, values: &[u32], stride: usize) {
        self.values += values.len();
        self.any = values.iter().fold(self.any, |any, bits| any | bits);
        self.sample.extend(values.iter().step_by(stride));
    }

    /// Adds what another thread saw.
    pub fn join(&mut self, other: &Survey) {
        self.values += other.values;
        self.any |= other.any;
        self.sample.extend_from_slice(&other.sample);
    }

    /// Whether a palette is worth looking for: the first values that are not 0 repeat themselves.
    pub fn may_repeat(&self) -> bool {
        let mut some: Vec<u32> = self.sample.iter().copied().filter(|&bits| bits != 0).take(1024).collect();
        let count = some.len();
        some.sort_unstable();
        some.dedup();
        some.len() * 2 < count
    }

    /// Parameters for values of this format; no palette.
    pub fn parameters(&self, format: FloatFormat) -> FloatParameters {
        let sign = format.sign();
        let zero_bits = self.any.trailing_zeros().min(format.mantissa);
        let mantissa = format.mantissa - zero_bits;
        let nonzero = || self.sample.iter().copied().filter(|&bits| bits & !sign != 0);
        let negative = self.sample.iter().filter(|&&bits| bits & sign != 0).count();
        let signed = negative * 256 > self.sample.len();
        let grid = grid(format, mantissa, nonzero());
        let sub_bits = match (grid, format.mantissa) {
            (Some(_), _) => 3,
            (None, ..=10) => 2,
            _ => 1,
        };
        let sub_bits = sub_bits.min(mantissa);

        let shift = format.mantissa - sub_bits;
        let mut keys = vec![0usize; (format.exponents() << sub_bits) as usize];
        nonzero().for_each(|bits| keys[((bits & !sign) >> shift) as usize] += 1);
        let window = if signed { KEYED / 2 - 1 } else { KEYED } as usize;
        let top_key = best_window(&keys, window);
        let classes = match self.values {
            0..8192 => 2,
            8192..32_768 => 3,
            32_768..131_072 => 5,
            _ => BOUNDS + 1,
        };
        let bounds = bounds(keys[..=top_key].iter().rev().take(window), classes, signed);
        FloatParameters {
            format,
            sub_bits,
            signed,
            zero_bits,
            top_key: top_key as u32,
            grid,
            bounds,
            palette: Vec::new(),
        }
    }
}

/// Exponent field of the largest power of two that the values are multiples of, if that saves half a bit a value.
fn grid(format: FloatFormat, mantissa: u32, nonzero: impl Iterator<Item = u32> + Clone) -> Option<u32> {
    let exponent = |bits: u32| (bits & !format.sign()) >> format.mantissa;
    let finite = nonzero.filter(|&bits| exponent(bits) > 0 && exponent(bits) < format.exponents() - 1);
    // The exponent of the lowest bit that is set, of the leading one in want of others.
    let lowest = |bits: u32| {
        let significand = bits & ((1 << format.mantissa) - 1) | 1 << format.mantissa;
        (exponent(bits) + significand.trailing_zeros()).saturating_sub(format.mantissa)
    };
    let grid = finite.clone().map(lowest).min()?;
    let (saved, count) = finite.fold((0u64, 0u64), |(saved, count), bits| {
        (saved + u64::from(mantissa.saturating_sub(exponent(bits).saturating_sub(grid))), count + 1)
    });
    (saved * 2 > count).then_some(grid)
}

/// Top of the window of so many keys that holds most values; the highest of equals.
fn best_window(keys: &[usize], window: usize) -> usize {
    let mut top = keys.iter().rposition(|&count| count > 0).unwrap_or(0);
    let mut inside: usize = keys[(top + 1).saturating_sub(window)..=top].iter().sum();
    let mut best = (inside, top);
    while top >= window {
        inside -= keys[top];
        inside += keys[top - window];
        top -= 1;
        if inside > best.0 {
            best = (inside, top);
        }
    }
    // Tables pay for tokens above the first that occurs.
    keys[..=best.1].iter().rposition(|&count| count > 0).unwrap_or(0)
}

/// Bounds that cut keys, given from the top, into classes of about equal counts.
fn bounds<'a>(keys: impl Iterator<Item = &'a usize> + Clone, classes: usize, signed: bool) -> [u8; BOUNDS] {
    let tokens_a_key = if signed { 2 } else { 1 };
    let total: usize = keys.clone().sum();
    std::array::from_fn(|i| {
        let wanted = total * ((i + 1) * classes / (BOUNDS + 1)) / classes;
        let mut before = 0;
        let mut bound = tokens_a_key;
        for &count in keys.clone() {
            if before + count / 2 >= wanted {
                break;
            }
            before += count;
            bound += tokens_a_key;
        }
        bound
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(values: &[f32]) -> FloatParameters {
        let bits: Vec<u32> = values.iter().map(|v| v.to_bits()).collect();
        let mut survey = Survey::default();
        survey.add(&bits, 1);
        survey.parameters(FloatFormat::F32)
    }

    #[test]
    fn integers_are_on_a_grid_and_noise_is_not() {
        let integers: Vec<f32> = (0..256).map(|i| i as f32).collect();
        let chosen = parameters(&integers);
        assert_eq!(chosen.grid, Some(127), "multiples of 1.0");
        assert_eq!(chosen.zero_bits, 16, "255 has eight digits");
        assert_eq!(chosen.top_key, 255f32.to_bits() >> chosen.key_shift());
        let noise: Vec<f32> =
            (1..5000u32).map(|i| f32::from_bits(0x3f80_0000 ^ (i.wrapping_mul(0x9e37_79b1) >> 8))).collect();
        assert_eq!(parameters(&noise).grid, None);
    }

    #[test]
    fn an_outlier_does_not_take_the_window() {
        let mut values = vec![1e-30f32; 100];
        values.push(f32::NAN);
        assert_eq!(parameters(&values).top_key, 1e-30f32.to_bits() >> 22);
    }

    #[test]
    fn classes_halve_the_values() {
        // Keys from the top: 1, 1, 2, 4 values; two classes of four each.
        assert_eq!(bounds([1, 1, 2, 4].iter(), 2, false), [1, 1, 1, 4, 4, 4]);
    }
}
