//! Code lengths of the best prefix code whose codes have at most so many bits.

/// The length of each symbol's code, 0 for those that do not occur, by package-merge (Larmore and Hirschberg, "A Fast
/// Algorithm for Optimal Length-Limited Huffman Codes", J. ACM 1990). A lone symbol gets one bit.
///
/// There must be no more than `2^limit` symbols that occur.
pub fn code_lengths(counts: &[u64], limit: u32) -> Vec<u8> {
    let mut lengths = vec![0; counts.len()];
    let mut leaves: Vec<Item> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(symbol, &weight)| Item { weight, symbols: vec![symbol] })
        .collect();
    assert!(leaves.len() <= 1 << limit, "{} symbols and codes of at most {limit} bits", leaves.len());
    match leaves.as_slice() {
        [] => return lengths,
        [lone] => {
            lengths[lone.symbols[0]] = 1;
            return lengths;
        }
        _ => leaves.sort_by_key(|leaf| leaf.weight),
    }
    // Of one level after another, the deepest first: the leaves and the pairs of the level below, by weight.
    let mut level = leaves.clone();
    for _ in 1..limit {
        let pairs = level.chunks_exact(2).map(|pair| Item {
            weight: pair[0].weight + pair[1].weight,
            symbols: [pair[0].symbols.as_slice(), &pair[1].symbols].concat(),
        });
        let mut next: Vec<Item> = leaves.iter().cloned().chain(pairs).collect();
        next.sort_by_key(|item| item.weight);
        level = next;
    }
    // Each occurrence of a symbol among the cheapest 2n - 2 items is one bit of its code.
    for item in &level[..2 * leaves.len() - 2] {
        for &symbol in &item.symbols {
            lengths[symbol] += 1;
        }
    }
    lengths
}

#[derive(Clone)]
struct Item {
    weight: u64,
    symbols: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Unlimited, Huffman gives 1, 2, 3, 4, 4.
        assert_eq!(code_lengths(&[16, 8, 4, 2, 1], 12), [1, 2, 3, 4, 4]);
        // With 3 bits at most, 1 3 3 3 3 costs 16 + 45 = 61 and 2 2 2 3 3 costs 56 + 9 = 65.
        assert_eq!(code_lengths(&[16, 8, 4, 2, 1], 3), [1, 3, 3, 3, 3]);
        assert_eq!(code_lengths(&[0, 7, 0], 3), [0, 1, 0]);
        assert_eq!(code_lengths(&[0; 3], 3), [0; 3]);
        assert_eq!(code_lengths(&[1; 8], 3), [3; 8]);
    }

    #[test]
    fn lengths_make_a_full_code_within_the_limit() {
        for count in 2..200u32 {
            let counts: Vec<u64> = (0..count).map(|i| 1 << (i % 40)).collect();
            let lengths = code_lengths(&counts, 12);
            let room: u32 = lengths.iter().map(|&length| 1 << (12 - length)).sum();
            assert_eq!(room, 1 << 12);
        }
    }
}
