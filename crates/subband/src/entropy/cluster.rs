//! Which contexts share a frequency table: merges histograms as long as a shared table is cheaper.

use super::histogram::{Histogram, entropy_and_used};
use super::log2::{COST_BITS, log2};

/// What bounds the number of tables.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClusterLimits {
    /// Most tables.
    pub max_tables: usize,
    /// Whether tables cost bits (they are in the stream) or are free (they are in a profile).
    pub tables_cost: bool,
}

/// More contexts than this are first grouped by entropy, so that merging pairs stays cheap.
const MAX_SEEDS: usize = 64;
/// The same where tables are chosen for every tensor: takes 0.2% more bytes than 64, and a third of the time.
const MAX_SEEDS_OF_STREAM: usize = 24;

/// Tables for `contexts`: for each context the number of its table, and the counts of each table.
///
/// Contexts without counts get table 0. At least one table is returned.
pub(crate) fn cluster(contexts: &[Histogram], limits: ClusterLimits) -> (Vec<u8>, Vec<Histogram>) {
    let active: Vec<usize> = (0..contexts.len()).filter(|&i| contexts[i].total() > 0).collect();
    // Nearly all contexts of a map have but the first tokens.
    let span = active.iter().map(|&i| contexts[i].span()).max().unwrap_or(0);
    let max_seeds = if limits.tables_cost { MAX_SEEDS_OF_STREAM } else { MAX_SEEDS };
    let mut clusters = seeds(contexts, &active, max_seeds);
    if active.len() > max_seeds {
        for _ in 0..if limits.tables_cost { 1 } else { 3 } {
            clusters = reassign(contexts, &active, &clusters, span).1;
        }
    }
    merge_pairs(&mut clusters, limits, span);
    let mut assignment = vec![0; contexts.len()];
    if clusters.is_empty() {
        clusters.push(Histogram::EMPTY);
    } else {
        for _ in 0..if limits.tables_cost { 1 } else { 2 } {
            clusters = reassign(contexts, &active, &clusters, span).1;
        }
        let (chosen, final_clusters) = reassign(contexts, &active, &clusters, span);
        clusters = final_clusters;
        for (&context, table) in active.iter().zip(chosen) {
            assignment[context] = table;
        }
    }
    (assignment, clusters)
}

/// What a table with so many tokens costs in a stream, roughly, in units of 2^-16 bits.
fn table_cost(used: usize) -> u64 {
    (12 + 3 * used as u64) << COST_BITS
}

/// What the counted tokens and their table cost in a stream, roughly, in units of 2^-16 bits.
pub(crate) fn cost_with_table(histogram: &Histogram) -> u64 {
    let (entropy, used) = entropy_and_used(histogram.counts.iter().map(|&count| u64::from(count)));
    entropy + table_cost(used)
}

/// One cluster a context, or up to `most` clusters of contexts of similar entropy.
fn seeds(contexts: &[Histogram], active: &[usize], most: usize) -> Vec<Histogram> {
    let mut order = active.to_vec();
    if active.len() > most {
        order.sort_by_cached_key(|&i| (contexts[i].entropy() / contexts[i].total(), i));
    }
    order
        .chunks(active.len().div_ceil(most).max(1))
        .map(|chunk| {
            let mut sum = Histogram::EMPTY;
            chunk.iter().for_each(|&i| sum.add(&contexts[i]));
            sum
        })
        .collect()
}

/// Moves every context to the cluster that codes it with the fewest bits; no token is `span` or more. Returns the choice for
/// each active context and the new, non-empty clusters.
fn reassign(
    contexts: &[Histogram],
    active: &[usize],
    clusters: &[Histogram],
    span: usize,
) -> (Vec<u8>, Vec<Histogram>) {
    let mut costs = Vec::with_capacity(clusters.len() * span);
    for cluster in clusters {
        let total = log2(cluster.total());
        // A token the cluster lacks: as if it had a share of 2^-20.
        let cost = |&count: &u32| if count == 0 { 20 << COST_BITS } else { (total - log2(count.into())) as u32 };
        costs.extend(cluster.counts[..span].iter().map(cost));
    }
    let mut moved = vec![Histogram::EMPTY; clusters.len()];
    let chosen: Vec<usize> = active
        .iter()
        .map(|&context| {
            // Most contexts end before the longest: those of fine subbands have a few tokens.
            let counts = &contexts[context].counts[..contexts[context].span()];
            let bits = |costs: &[u32]| -> u64 {
                counts.iter().zip(costs).map(|(&count, &cost)| u64::from(count) * u64::from(cost)).sum()
            };
            let best = costs.chunks_exact(span).map(bits).enumerate().min_by_key(|&(_, bits)| bits);
            let (best, _) = best.expect("there is a cluster");
            moved[best].counts.iter_mut().zip(counts).for_each(|(sum, &count)| *sum = sum.saturating_add(count));
            best
        })
        .collect();
    let mut names = vec![0u8; clusters.len()];
    let mut kept = Vec::new();
    for (k, histogram) in moved.into_iter().enumerate() {
        if histogram.total() > 0 {
            names[k] = kept.len() as u8;
            kept.push(histogram);
        }
    }
    (chosen.into_iter().map(|k| names[k]).collect(), kept)
}

/// Merges the pair that loses least, as long as it gains or there are too many. No token is `span` or more.
fn merge_pairs(clusters: &mut Vec<Histogram>, limits: ClusterLimits, span: usize) {
    let cost = |(entropy, used)| (entropy + if limits.tables_cost { table_cost(used) } else { 0 }) as i64;
    let alone = |a: &Histogram| cost(entropy_and_used(a.counts[..span].iter().map(|&count| count.into())));
    // Nothing is beyond the span of either, and most have short ones.
    let together = |a: &Histogram, b: &Histogram, span: usize| {
        let counts = a.counts[..span].iter().zip(&b.counts[..span]);
        cost(entropy_and_used(counts.map(|(&a, &b)| u64::from(a) + u64::from(b))))
    };
    let mut spans: Vec<usize> = clusters.iter().map(Histogram::span).collect();
    let mut costs: Vec<i64> = clusters.iter().map(alone).collect();
    // losses[a][b] for b < a: what coding both with one table costs over coding them apart.
    let mut losses: Vec<Vec<i64>> = (0..clusters.len())
        .map(|a| {
            let loss = |b| together(&clusters[a], &clusters[b], spans[a].max(spans[b])) - costs[a] - costs[b];
            (0..a).map(loss).collect()
        })
        .collect();
    loop {
        let best = losses
            .iter()
            .enumerate()
            .flat_map(|(a, row)| row.iter().enumerate().map(move |(b, &loss)| (loss, a, b)))
            .min();
        let Some((loss, a, b)) = best else { return };
        if loss >= 0 && clusters.len() <= limits.max_tables {
            return;
        }
        costs[b] += costs[a] + loss;
        let gone = clusters.remove(a);
        clusters[b].add(&gone);
        let gone_span = spans.remove(a);
        spans[b] = spans[b].max(gone_span);
        costs.remove(a);
        losses.remove(a);
        losses.iter_mut().skip(a).for_each(|row| {
            row.remove(a);
        });
        for other in (0..clusters.len()).filter(|&other| other != b) {
            let span = spans[other].max(spans[b]);
            let loss = together(&clusters[other], &clusters[b], span) - costs[other] - costs[b];
            losses[other.max(b)][other.min(b)] = loss;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_contexts_share_a_table() {
        let flat = Histogram::of(&[1000, 1000, 1000, 1000]);
        let peaked = Histogram::of(&[4000, 10]);
        let contexts = [flat.clone(), peaked.clone(), Histogram::EMPTY, flat.clone(), peaked.clone()];
        let (assignment, tables) = cluster(&contexts, ClusterLimits { max_tables: 8, tables_cost: true });
        assert_eq!(tables.len(), 2);
        assert_eq!(assignment[0], assignment[3]);
        assert_eq!(assignment[1], assignment[4]);
        assert_ne!(assignment[0], assignment[1]);
        let (_, tables) = cluster(&contexts, ClusterLimits { max_tables: 1, tables_cost: false });
        assert_eq!(tables[0].total(), 16_020);
    }

    #[test]
    fn many_contexts_are_bounded_and_keep_their_counts() {
        let contexts: Vec<Histogram> = (0..300).map(|i| Histogram::of(&[1000, i * 3, i, i / 3])).collect();
        let (assignment, tables) = cluster(&contexts, ClusterLimits { max_tables: 16, tables_cost: false });
        assert!(tables.len() <= 16 && tables.len() > 8);
        assert_eq!(
            tables.iter().map(Histogram::total).sum::<u64>(),
            contexts.iter().map(Histogram::total).sum::<u64>()
        );
        assert!(assignment.iter().all(|&table| (table as usize) < tables.len()));
        assert_eq!(cluster(&[], ClusterLimits { max_tables: 4, tables_cost: true }).1.len(), 1);
    }
}
