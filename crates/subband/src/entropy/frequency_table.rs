//! Frequency tables: exact integer probabilities of tokens, and their terse form in a stream
//! (FORMAT.md, "Frequency tables").

use super::bit_io::{BitReader, BitWriter};
use super::histogram::Histogram;
use super::log2::{COST_BITS, log2};
use super::signed::{read_signed, write_signed};
use super::symbol::{ESCAPE, TOKENS};
use crate::error::{Error, Result};

/// Frequencies of a table add up to `1 << SCALE_BITS`.
pub(crate) const SCALE_BITS: u32 = 12;
pub(crate) const SCALE: u32 = 1 << SCALE_BITS;

/// The frequencies that a table can hold: 1 to 8, then four steps an octave. The coarse grid makes a
/// table cost a few bits a token; its rounding costs about 0.1% of the payload.
pub(crate) const LEVELS: [u16; 43] = [
    1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 16, 19, 23, 27, 32, 38, 45, 54, 64, 76, 91, 108, 128, 152, 181, 215, 256, 304,
    362, 431, 512, 609, 724, 861, 1024, 1218, 1448, 1722, 2048, 2435, 2896, 3444,
];

/// Order of the exp-Golomb code of level residuals.
const RESIDUAL_ORDER: u32 = 1;

/// Token frequencies of one or more contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrequencyTable {
    /// 0 for tokens that cannot occur; the sum is `SCALE`.
    frequencies: [u16; TOKENS],
    /// Sum of the frequencies of the tokens before.
    cumulative: [u16; TOKENS],
    /// The token whose frequency is what the others, which are on the grid, leave of the sum.
    rest: u8,
}

impl FrequencyTable {
    fn from_frequencies(frequencies: [u16; TOKENS], rest: usize) -> Self {
        let mut cumulative = [0; TOKENS];
        let mut sum = 0;
        for (c, &frequency) in cumulative.iter_mut().zip(&frequencies) {
            *c = sum;
            sum += frequency;
        }
        debug_assert_eq!(u32::from(sum), SCALE);
        FrequencyTable { frequencies, cumulative, rest: rest as u8 }
    }

    /// The table for counted tokens; every counted token gets a share. With `with_escape` the escape
    /// gets one too, so that any index can be coded. An empty histogram gives a table of zeros alone.
    pub fn from_histogram(histogram: &Histogram, with_escape: bool) -> Self {
        let mut counts = histogram.counts;
        if with_escape {
            counts[ESCAPE as usize] = counts[ESCAPE as usize].max(1);
        }
        if counts[..ESCAPE as usize].iter().all(|&count| count == 0) {
            counts[0] = 1 << 16;
        }
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let largest = counts.iter().copied().max().expect("there are tokens");
        let rest = counts.iter().position(|&count| count == largest).expect("the maximum is there");

        // Round each to the grid, carrying the error on, so that the most frequent token, which takes
        // what is left, gets its fair share too. Shares of 1/4096 and less are rounded up without a carry.
        let mut frequencies = [0u16; TOKENS];
        let mut carry = 0i64;
        for token in (0..TOKENS).filter(|&token| token != rest && counts[token] > 0) {
            let exact = (u64::from(counts[token]) * u64::from(SCALE) * 256 / total) as i64;
            let wanted = exact + if exact >= 2048 { carry } else { 0 };
            let level = nearest_level(wanted);
            if exact >= 2048 {
                carry = wanted - i64::from(level) * 256;
            }
            frequencies[token] = level;
        }
        let sum = |frequencies: &[u16; TOKENS]| frequencies.iter().map(|&f| u32::from(f)).sum::<u32>();
        while sum(&frequencies) >= SCALE {
            let largest = frequencies.iter().copied().max().expect("there are tokens");
            let token = frequencies.iter().position(|&f| f == largest).expect("the maximum is there");
            let level = LEVELS.iter().position(|&l| l == largest).expect("all are on the grid");
            frequencies[token] = LEVELS[level - 1];
        }
        frequencies[rest] = (SCALE - sum(&frequencies)) as u16;
        FrequencyTable::from_frequencies(frequencies, rest)
    }

    pub fn frequency(&self, token: u8) -> u32 {
        u32::from(self.frequencies[token as usize])
    }

    pub fn cumulative(&self, token: u8) -> u32 {
        u32::from(self.cumulative[token as usize])
    }

    /// The only token of this table, if there is just one: then nothing is coded. Only the rest token can
    /// have the whole sum, which is beyond the grid.
    pub fn certain(&self) -> Option<u8> {
        (self.frequency(self.rest) == SCALE).then_some(self.rest)
    }

    /// What each token costs, in units of 2^-16 bits; tokens without a share as the escape (which is
    /// only used where it has one).
    pub fn costs(&self) -> [u32; TOKENS] {
        let cost = |frequency: u16| (u64::from(SCALE_BITS) << COST_BITS) - log2(u64::from(frequency.max(1)));
        std::array::from_fn(|token| match self.frequencies[token] {
            0 => cost(self.frequencies[ESCAPE as usize]) as u32,
            frequency => cost(frequency) as u32,
        })
    }

    /// Writes the table: last token, the token that takes the rest, and for each other token up to the
    /// last its level.
    pub fn write_to(&self, writer: &mut BitWriter) {
        let last = self.frequencies.iter().rposition(|&f| f > 0).expect("a table is not empty");
        let rest = self.rest as usize;
        writer.write(last as u32, 7);
        writer.write_exp_golomb(rest as u32, 0);
        let mut codes = [0i32; TOKENS];
        for token in 0..=last {
            if token == rest {
                codes[token] = LEVELS.len() as i32;
                continue;
            }
            codes[token] = match self.frequencies[token] {
                0 => 0,
                frequency => LEVELS.binary_search(&frequency).expect("frequencies are on the grid") as i32 + 1,
            };
            let residual = codes[token] - predicted(&codes, token);
            write_signed(residual, RESIDUAL_ORDER, writer);
        }
    }

    pub fn read_from(reader: &mut BitReader) -> Result<Self> {
        let last = reader.read(7)? as usize;
        let rest = reader.read_exp_golomb(0)? as usize;
        if last >= TOKENS || rest > last {
            return Err(Error::corrupt(format!("a frequency table has last token {last} and rest token {rest}")));
        }
        let mut frequencies = [0u16; TOKENS];
        let mut codes = [0i32; TOKENS];
        let mut sum = 0u32;
        for token in 0..=last {
            if token == rest {
                codes[token] = LEVELS.len() as i32;
                continue;
            }
            let code = predicted(&codes, token).saturating_add(read_signed(reader, RESIDUAL_ORDER)?);
            frequencies[token] = match code {
                0 => 0,
                1.. if code as usize <= LEVELS.len() => LEVELS[code as usize - 1],
                _ => return Err(Error::corrupt(format!("a frequency table has level {code}"))),
            };
            codes[token] = code;
            sum += u32::from(frequencies[token]);
        }
        if sum >= SCALE || (last != rest && frequencies[last] == 0) {
            return Err(Error::corrupt("the frequencies of a table do not add up"));
        }
        frequencies[rest] = (SCALE - sum) as u16;
        Ok(FrequencyTable::from_frequencies(frequencies, rest))
    }
}

/// Level code expected from the two tokens of the same sign before: a line in the log domain, which a
/// geometric distribution follows.
fn predicted(codes: &[i32; TOKENS], token: usize) -> i32 {
    let top = LEVELS.len() as i32;
    match token {
        0..2 => top - 4,
        2..4 => (codes[token - 2] - 6).max(0),
        _ => (2 * codes[token - 2] - codes[token - 4]).clamp(0, top),
    }
}

/// The grid frequency nearest to `wanted` / 256, at least 1.
fn nearest_level(wanted: i64) -> u16 {
    let above = LEVELS.partition_point(|&level| i64::from(level) * 256 < wanted);
    if above == 0 {
        return LEVELS[0];
    }
    if above == LEVELS.len() {
        return LEVELS[LEVELS.len() - 1];
    }
    let (low, high) = (LEVELS[above - 1], LEVELS[above]);
    if wanted - i64::from(low) * 256 <= i64::from(high) * 256 - wanted { low } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        let table = FrequencyTable::from_histogram(&Histogram::of(&[2, 1, 1]), false);
        assert_eq!([table.frequency(0), table.frequency(1), table.frequency(2)], [2048, 1024, 1024]);
        assert_eq!(table.cumulative(2), 3072);
        assert_eq!(table.costs()[..3], [1 << 16, 2 << 16, 2 << 16]);
        assert_eq!(FrequencyTable::from_histogram(&Histogram::EMPTY, false).certain(), Some(0));
        let table = FrequencyTable::from_histogram(&Histogram::of(&[1_000_000, 0, 1]), true);
        assert_eq!([table.frequency(2), table.frequency(ESCAPE), table.frequency(1)], [1, 1, 0]);
    }

    proptest! {
        #[test]
        fn tables_come_back(counts in prop::collection::vec(prop_oneof![Just(0u32), 0u32..8, 0u32..100_000], 1..=TOKENS), escape in any::<bool>()) {
            let table = FrequencyTable::from_histogram(&Histogram::of(&counts), escape);
            for (token, &count) in counts.iter().enumerate() {
                prop_assert!(count == 0 || table.frequency(token as u8) > 0);
            }
            let mut writer = BitWriter::default();
            table.write_to(&mut writer);
            let bytes = writer.finish().to_vec();
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(FrequencyTable::read_from(&mut reader).unwrap(), table);
            prop_assert_eq!(reader.finish().unwrap(), bytes.len());
        }

        #[test]
        fn hostile_tables_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = FrequencyTable::read_from(&mut BitReader::new(&bytes));
        }
    }
}
