//! Contexts: which frequency table codes a subband of a channel (FORMAT.md, "Context tables").
//!
//! A context is a pair of subband and channel group. Several contexts may share a table.

use super::bit_io::{BitReader, BitWriter, bits_for};
use super::cluster::{ClusterLimits, cluster, cost_with_table};
use super::frequency_table::FrequencyTable;
use super::histogram::Histogram;
use super::log2::COST_BITS;
use super::symbol::ESCAPE;
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

    /// Tables of a self-contained stream for exactly the counted indices: groups of channels where that saves more than it
    /// costs. `histograms` is subband-major, with those of all groups for each; there is a subband.
    pub fn for_stream(channels: &ChannelGroups, histograms: &[Histogram]) -> Self {
        let mut best: Option<(u64, Clustered)> = None;
        for groups in (0..).map(|bits| 1 << bits).take_while(|&groups| groups <= channels.groups) {
            let contexts = channels.contexts(histograms, groups);
            let map_cost = channels.map_cost(groups);
            let least = best.as_ref().map_or(u64::MAX, |(cost, _)| *cost);
            // No tables are better than one for each context that takes no bits.
            if contexts.iter().map(Histogram::entropy).sum::<u64>() + map_cost >= least {
                break;
            }
            let candidate = Clustered::new(groups, &contexts);
            let cost = candidate.cost() + map_cost;
            if cost >= least {
                break;
            }
            best = Some((cost, candidate));
        }
        let (_, Clustered { groups, table_of, counts }) = best.expect("there is a group");
        let grouping = if groups == 1 { Grouping::One } else { Grouping::Groups(groups, channels.joined(groups)) };
        let tables = counts.iter().map(|counts| FrequencyTable::from_histogram(counts, false)).collect();
        ContextTables { grouping, groups, table_of, tables }
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

    pub fn tables(&self) -> &[FrequencyTable] {
        &self.tables
    }

    /// Whether every index has a token in every table, if only the escape.
    pub fn can_code_all(&self) -> bool {
        self.tables.iter().all(|table| table.frequency(ESCAPE) > 0)
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

/// Channels ranked by activity, in equal groups: 16, or as many as there are channels, down to a power of two. Two next to
/// each other are a group of half as many.
#[derive(Debug)]
pub(crate) struct ChannelGroups {
    groups: usize,
    of_channel: Vec<u8>,
}

impl ChannelGroups {
    /// Groups by the number of indices of each channel that are not 0.
    pub fn by_activity(nonzero: &[u64]) -> Self {
        let channels = nonzero.len();
        let mut order: Vec<usize> = (0..channels).collect();
        order.sort_by_key(|&channel| (nonzero[channel], channel));
        let groups = 1 << channels.clamp(1, MAX_GROUPS).ilog2();
        let mut of_channel = vec![0; channels];
        for (rank, channel) in order.into_iter().enumerate() {
            of_channel[channel] = (rank * groups / channels) as u8;
        }
        ChannelGroups { groups, of_channel }
    }

    pub fn groups(&self) -> usize {
        self.groups
    }

    pub fn group(&self, channel: usize) -> usize {
        usize::from(self.of_channel[channel])
    }

    /// The first channel of a group.
    pub fn first_of(&self, group: usize) -> Option<usize> {
        self.of_channel.iter().position(|&own| usize::from(own) == group)
    }

    /// Counts of the contexts of fewer groups.
    fn contexts(&self, histograms: &[Histogram], groups: usize) -> Vec<Histogram> {
        let of_one = histograms.chunks_exact(self.of_one(groups));
        of_one
            .map(|histograms| {
                let mut sum = histograms[0].clone();
                histograms[1..].iter().for_each(|histogram| sum.add(histogram));
                sum
            })
            .collect()
    }

    /// What it takes to say the groups of all channels, in units of 2^-16 bits.
    fn map_cost(&self, groups: usize) -> u64 {
        (self.of_channel.len() as u64 * u64::from(bits_for(groups))) << COST_BITS
    }

    /// How many of the groups are one of `groups` groups.
    fn of_one(&self, groups: usize) -> usize {
        self.groups / groups
    }

    /// The group of each channel, of fewer groups.
    fn joined(&self, groups: usize) -> Vec<u8> {
        self.of_channel.iter().map(|&group| group / self.of_one(groups) as u8).collect()
    }
}

/// Contexts of some groups of channels, in clusters.
struct Clustered {
    groups: usize,
    table_of: Vec<u8>,
    counts: Vec<Histogram>,
}

impl Clustered {
    fn new(groups: usize, contexts: &[Histogram]) -> Self {
        let (table_of, counts) = cluster(contexts, ClusterLimits { max_tables: MAX_TABLES, tables_cost: true });
        Clustered { groups, table_of, counts }
    }

    /// What data and tables take, and the numbers of the tables, in units of 2^-16 bits.
    fn cost(&self) -> u64 {
        let numbers = self.table_of.len() as u64 * u64::from(bits_for(self.counts.len()));
        self.counts.iter().map(cost_with_table).sum::<u64>() + (numbers << COST_BITS)
    }
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

    fn tables_for_stream(scale: u32) -> ContextTables {
        let histograms = histograms(scale);
        let nonzero = |histogram: &Histogram| histogram.total() - u64::from(histogram.counts[0]);
        let channels = ChannelGroups::by_activity(&histograms[..8].iter().map(nonzero).collect::<Vec<_>>());
        assert_eq!(channels.groups(), 8);
        let mut grouped = vec![Histogram::EMPTY; 16];
        for (i, histogram) in histograms.iter().enumerate() {
            grouped[i / 8 * 8 + channels.group(i % 8)].add(histogram);
        }
        ContextTables::for_stream(&channels, &grouped)
    }

    #[test]
    fn streams_group_channels_where_it_pays() {
        let (small, large) = (tables_for_stream(1), tables_for_stream(10_000));
        assert_eq!(small.grouping, Grouping::One);
        assert_eq!(large.grouping.groups(8), 2);
        assert_ne!(large.table_of(0, 0), large.table_of(0, 1));
        assert_eq!(large.table_of(1, 3), large.table_of(1, 7));
        round_trip(&small, 2, 8);
        round_trip(&large, 2, 8);
        round_trip(&ContextTables::for_stream(&ChannelGroups::by_activity(&[]), &[Histogram::EMPTY]), 1, 0);
    }

    #[test]
    fn groups_hold_channels_of_like_activity() {
        let nonzero: Vec<u64> = (0..37).map(|channel| channel * 7 % 37).collect();
        let channels = ChannelGroups::by_activity(&nonzero);
        assert_eq!(channels.groups(), 16);
        for groups in [1, 2, 4, 8, 16] {
            let of_channel = channels.joined(groups);
            for (channel, &rank) in nonzero.iter().enumerate() {
                assert_eq!(usize::from(of_channel[channel]), rank as usize * groups / 37, "{groups} groups");
            }
        }
    }

    #[test]
    fn profiles_can_code_anything() {
        let tables = ContextTables::for_profile(&histograms(100), 8);
        assert!(tables.can_code_all());
        assert!(!tables_for_stream(1).can_code_all());
        round_trip(&tables, 2, 8);
    }
}
