//! Contexts: which frequency table codes a subband of a channel (FORMAT.md, "Context tables").
//!
//! A context is a pair of subband and channel group. Several contexts may share a table.

use super::bit_io::{BitReader, BitWriter, bits_for};
use super::cluster::{ClusterLimits, cluster, table_cost};
use super::frequency_table::FrequencyTable;
use super::histogram::Histogram;
use super::log2::COST_BITS;
use crate::error::{Error, Result};

/// Most tables of a stream or of a tap.
pub(crate) const MAX_TABLES: usize = 64;
/// Most groups of channels when the groups are listed.
const MAX_GROUPS: usize = 16;

/// How channels are grouped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Grouping {
    /// All channels alike.
    One,
    /// Each channel is a group of its own.
    EachChannel,
    /// The group of each channel, below the given number (2 to 16).
    Groups(usize, Vec<u8>),
}

impl Grouping {
    fn groups(&self, channels: usize) -> usize {
        match self {
            Grouping::One => 1,
            Grouping::EachChannel => channels,
            Grouping::Groups(groups, _) => *groups,
        }
    }

    fn group(&self, channel: usize) -> usize {
        match self {
            Grouping::One => 0,
            Grouping::EachChannel => channel,
            Grouping::Groups(_, of_channel) => of_channel[channel] as usize,
        }
    }
}

/// Frequency tables and the map from contexts to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContextTables {
    grouping: Grouping,
    groups: usize,
    /// Table of each (subband, group), subband-major.
    table_of: Vec<u8>,
    tables: Vec<FrequencyTable>,
}

impl ContextTables {
    /// Tables of a profile: contexts of (subband, channel), clustered into at most 64 tables that can
    /// code any index. `histograms` is subband-major.
    pub fn for_profile(histograms: &[Histogram], channels: usize) -> Self {
        let limits = ClusterLimits { max_tables: MAX_TABLES, tables_cost: false };
        let (table_of, counts) = cluster(histograms, limits);
        ContextTables {
            grouping: Grouping::EachChannel,
            groups: channels,
            table_of,
            tables: counts.iter().map(|counts| FrequencyTable::from_histogram(counts, true)).collect(),
        }
    }

    /// Tables of a self-contained stream for exactly the counted indices: groups channels by activity
    /// where that saves more than it costs. `histograms` is subband-major, `channels` each.
    pub fn for_stream(histograms: &[Histogram], channels: usize) -> Self {
        let mut best: Option<(u64, Self)> = None;
        for groups in [1, 2, 4, 8, 16].into_iter().take_while(|&groups| groups <= channels) {
            let candidate = Self::grouped(histograms, channels, groups);
            match &best {
                Some((cost, _)) if *cost <= candidate.0 => break,
                _ => best = Some(candidate),
            }
        }
        best.map_or_else(|| Self::grouped(histograms, channels, 1).1, |(_, tables)| tables)
    }

    /// Tables for contexts that are no subbands, in a stream: at most so many, one group.
    pub fn for_contexts(histograms: &[Histogram], max_tables: usize) -> Self {
        let largest = histograms.iter().flat_map(|histogram| histogram.counts).max().unwrap_or(0);
        // Logarithms of large counts are slow, and where counts are large tables cost next to nothing.
        let shift = (largest >> 13).checked_ilog2().map_or(0, |bits| bits + 1);
        let (table_of, counts) = if shift > 2 {
            let scaled: Vec<Histogram> = histograms.iter().map(|histogram| histogram.scaled(shift)).collect();
            let (table_of, clusters) = cluster(&scaled, ClusterLimits { max_tables, tables_cost: false });
            let mut counts = vec![Histogram::EMPTY; clusters.len()];
            table_of.iter().zip(histograms).for_each(|(&table, histogram)| counts[table as usize].add(histogram));
            (table_of, counts)
        } else {
            cluster(histograms, ClusterLimits { max_tables, tables_cost: true })
        };
        let tables = counts.iter().map(|counts| FrequencyTable::from_histogram(counts, false)).collect();
        ContextTables { grouping: Grouping::One, groups: 1, table_of, tables }
    }

    /// Tables for a number of channel groups, with the bits that data, tables and map take.
    fn grouped(histograms: &[Histogram], channels: usize, groups: usize) -> (u64, Self) {
        let grouping = if groups == 1 { Grouping::One } else { by_activity(histograms, channels, groups) };
        let subbands = histograms.len().checked_div(channels).unwrap_or(0).max(1);
        let mut contexts = vec![Histogram::EMPTY; subbands * groups];
        for (i, histogram) in histograms.iter().enumerate() {
            contexts[i / channels * groups + grouping.group(i % channels)].add(histogram);
        }
        let (table_of, counts) = cluster(&contexts, ClusterLimits { max_tables: MAX_TABLES, tables_cost: true });
        let map_bits = contexts.len() as u64 * u64::from(bits_for(counts.len()))
            + if groups > 1 { channels as u64 * u64::from(bits_for(groups)) } else { 0 };
        let cost =
            counts.iter().map(|counts| counts.entropy() + table_cost(counts)).sum::<u64>() + (map_bits << COST_BITS);
        let tables = counts.iter().map(|counts| FrequencyTable::from_histogram(counts, false)).collect();
        (cost, ContextTables { grouping, groups, table_of, tables })
    }

    pub fn tables(&self) -> &[FrequencyTable] {
        &self.tables
    }

    /// Number of the table for a subband of a channel.
    pub fn table_of(&self, subband: usize, channel: usize) -> u8 {
        self.table_of[subband * self.groups + self.grouping.group(channel)]
    }

    pub fn write_to(&self, writer: &mut BitWriter) {
        match &self.grouping {
            Grouping::One => writer.write(0, 5),
            Grouping::EachChannel => writer.write(1, 5),
            Grouping::Groups(groups, of_channel) => {
                writer.write(*groups as u32, 5);
                for &group in of_channel {
                    writer.write(u32::from(group), bits_for(*groups));
                }
            }
        }
        writer.write(self.tables.len() as u32 - 1, 6);
        for table in &self.tables {
            table.write_to(writer);
        }
        for &table in &self.table_of {
            writer.write(u32::from(table), bits_for(self.tables.len()));
        }
    }

    pub fn read_from(reader: &mut BitReader, subbands: usize, channels: usize) -> Result<Self> {
        let grouping = match reader.read(5)? as usize {
            0 => Grouping::One,
            1 => Grouping::EachChannel,
            groups if groups <= MAX_GROUPS => {
                let of_channel = read_numbers(reader, channels, groups)?;
                Grouping::Groups(groups, of_channel)
            }
            groups => return Err(Error::corrupt(format!("{groups} channel groups: allowed are 1 to {MAX_GROUPS}"))),
        };
        let groups = grouping.groups(channels);
        let count = reader.read(6)? as usize + 1;
        let tables = (0..count).map(|_| FrequencyTable::read_from(reader)).collect::<Result<Vec<_>>>()?;
        let table_of = read_numbers(reader, subbands * groups, count)?;
        Ok(ContextTables { grouping, groups, table_of, tables })
    }
}

/// `count` numbers below `limit`. Grows as the bits come, since `count` may be a lie.
fn read_numbers(reader: &mut BitReader, count: usize, limit: usize) -> Result<Vec<u8>> {
    let bits = bits_for(limit);
    if bits == 0 {
        return Ok(vec![0; count]);
    }
    let mut numbers = Vec::new();
    for _ in 0..count {
        let number = reader.read(bits)?;
        if number as usize >= limit {
            return Err(Error::corrupt(format!("table or group {number} of {limit}")));
        }
        numbers.push(number as u8);
    }
    Ok(numbers)
}

/// Ranks channels by their number of non-zero indices and cuts the ranking into equal groups.
fn by_activity(histograms: &[Histogram], channels: usize, groups: usize) -> Grouping {
    let mut activity = vec![0u64; channels];
    for (i, histogram) in histograms.iter().enumerate() {
        activity[i % channels] += histogram.total() - u64::from(histogram.counts[0]);
    }
    let mut order: Vec<usize> = (0..channels).collect();
    order.sort_by_key(|&channel| (activity[channel], channel));
    let mut of_channel = vec![0; channels];
    for (rank, channel) in order.into_iter().enumerate() {
        of_channel[channel] = (rank * groups / channels) as u8;
    }
    Grouping::Groups(groups, of_channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(tables: &ContextTables, subbands: usize, channels: usize) {
        let mut writer = BitWriter::default();
        tables.write_to(&mut writer);
        let bytes = writer.finish().to_vec();
        let mut reader = BitReader::new(&bytes);
        assert_eq!(&ContextTables::read_from(&mut reader, subbands, channels).unwrap(), tables);
        assert_eq!(reader.finish().unwrap(), bytes.len());
        for end in 0..bytes.len() {
            assert!(ContextTables::read_from(&mut BitReader::new(&bytes[..end]), subbands, channels).is_err());
        }
    }

    /// Two subbands, eight channels, of which the odd ones are busy.
    fn histograms(scale: u32) -> Vec<Histogram> {
        (0..16)
            .map(|i| {
                let mut histogram = Histogram::EMPTY;
                histogram.counts[0] = 4 * scale;
                histogram.counts[1] = if i % 2 == 1 { 3 * scale } else { scale / 10 };
                histogram.counts[2] = i % 2 * scale;
                histogram
            })
            .collect()
    }

    #[test]
    fn streams_group_channels_where_it_pays() {
        let small = ContextTables::for_stream(&histograms(1), 8);
        let large = ContextTables::for_stream(&histograms(10_000), 8);
        assert_eq!(small.grouping, Grouping::One);
        assert_eq!(large.grouping.groups(8), 2);
        assert_ne!(large.table_of(0, 0), large.table_of(0, 1));
        assert_eq!(large.table_of(1, 3), large.table_of(1, 7));
        round_trip(&small, 2, 8);
        round_trip(&large, 2, 8);
        round_trip(&ContextTables::for_stream(&[], 0), 1, 0);
    }

    #[test]
    fn profiles_can_code_anything() {
        let tables = ContextTables::for_profile(&histograms(100), 8);
        assert!(tables.tables().iter().all(|table| table.frequency(super::super::ESCAPE) > 0));
        round_trip(&tables, 2, 8);
    }
}
