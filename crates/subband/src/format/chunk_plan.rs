//! What of a chunk is coded with which tables, found out once for all chunks alike.

use std::ops::Range;

use super::chunk::PreparedTables;
use crate::entropy::{ContextTables, FIRST_WITH_RAW_BITS, Run};
use crate::plane::PlaneQuantizer;

/// Blocks of channels next to each other that share a table.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub subband: usize,
    pub slots: Range<usize>,
    /// Where they are in the chunk.
    pub range: Range<usize>,
    pub table: u8,
    /// Whether tokens are coded: they are not if the table has a certain one.
    pub coded: bool,
}

/// What of a chunk is coded, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChunkPlan {
    pub channels: Range<usize>,
    /// All but dropped blocks.
    pub stretches: Vec<Stretch>,
    /// The coded stretches.
    pub runs: Vec<Run>,
    /// Tokens of the runs.
    pub coded: usize,
    /// What decoding puts where nothing is coded.
    pub fills: Vec<(Range<usize>, u8)>,
    /// By coded token, where runs are short.
    pub flat: Option<FlatPlan>,
    /// Whether each run begins where the one before ends.
    contiguous: bool,
    /// No table codes smaller tokens with raw bits.
    pub first_special: u8,
    /// Whether a table has tokens with raw bits.
    pub may_be_wide: bool,
    /// Whether one has with a certain token, which is not coded.
    pub certain_may_be_wide: bool,
}

/// What coding looks up by token in place of run.
#[derive(Debug, Clone, Default)]
pub(super) struct FlatPlan {
    /// Number of the table.
    pub numbers: Vec<u8>,
    /// The first token that the table codes with raw bits.
    pub special: Vec<u8>,
}

/// Runs shorter than this on average are not worth the work for one.
const SHORT_RUNS: usize = 256;

impl ChunkPlan {
    /// For a chunk of these channels.
    pub fn fill(&mut self, quantizer: &PlaneQuantizer, prepared: &PreparedTables, channels: Range<usize>) {
        let ChunkPlan { stretches: all, runs, fills, .. } = self;
        all.clear();
        runs.clear();
        fills.clear();
        (self.coded, self.contiguous, self.may_be_wide, self.certain_may_be_wide) = (0, true, false, false);
        self.first_special = FIRST_WITH_RAW_BITS;
        for (subband, block) in quantizer.layout.blocks.iter().enumerate() {
            for (own, number) in stretches(quantizer, &prepared.contexts, subband, channels.clone()) {
                let slots = own.start - channels.start..own.end - channels.start;
                let start = block.offset * channels.len() + slots.start * block.len();
                let range = start..start + slots.len() * block.len();
                if range.is_empty() {
                    continue;
                }
                let Some(table) = number else {
                    fills.push((range, 0));
                    continue;
                };
                let certain = prepared.contexts.tables()[usize::from(table)].certain();
                match certain {
                    Some(certain) => {
                        self.certain_may_be_wide |= prepared.may_be_wide(table);
                        fills.push((range.clone(), certain));
                    }
                    None => {
                        let end = runs.last().map_or(range.start, |run| run.start + run.length);
                        self.contiguous &= end == range.start;
                        self.coded += range.len();
                        runs.push(Run { table, start: range.start, length: range.len() });
                    }
                }
                self.first_special = self.first_special.min(prepared.first_special(table));
                self.may_be_wide |= prepared.may_be_wide(table);
                all.push(Stretch { subband, slots, range, table, coded: certain.is_none() });
            }
        }
        let mut flat = self.flat.take().unwrap_or_default();
        if self.coded < SHORT_RUNS * runs.len() {
            let FlatPlan { numbers, special } = &mut flat;
            numbers.clear();
            special.clear();
            for &Run { table, length, .. } in runs.iter() {
                numbers.resize(numbers.len() + length, table);
                special.resize(special.len() + length, prepared.first_special(table));
            }
            self.flat = Some(flat);
        }
        self.channels = channels;
    }

    /// Where the coded tokens are, if they are all next to each other.
    pub fn contiguous(&self) -> Option<Range<usize>> {
        let start = self.runs.first().map_or(0, |run| run.start);
        self.contiguous.then_some(start..start + self.coded)
    }
}

/// The channels of a chunk in stretches that share a table, or are dropped, each with its table.
fn stretches(
    quantizer: &PlaneQuantizer,
    contexts: &ContextTables,
    subband: usize,
    channels: Range<usize>,
) -> impl Iterator<Item = (Range<usize>, Option<u8>)> {
    let table = move |channel| quantizer.coding.keeps(channel, subband).then(|| contexts.table_of(subband, channel));
    let Range { mut start, end } = channels;
    std::iter::from_fn(move || {
        let (first, shared) = (start, (start < end).then(|| table(start))?);
        start = (first + 1..end).find(|&channel| table(channel) != shared).unwrap_or(end);
        Some((first..start, shared))
    })
}
