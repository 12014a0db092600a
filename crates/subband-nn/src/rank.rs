use burn::tensor::Tensor;

use crate::error::{Error, ErrorKind, Result};

/// How many of a batch's images have their label first, and among the first five.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    pub top1: usize,
    pub top5: usize,
}

impl Hits {
    pub fn add(&mut self, other: Self) {
        self.top1 += other.top1;
        self.top5 += other.top5;
    }
}

/// Counts the hits of `[N, classes]` scores.
pub(crate) fn hits(scores: Tensor<2>, labels: &[u32]) -> Result<Hits> {
    let classes = scores.dims()[1];
    let data = scores.into_data();
    let scores = data
        .as_slice::<f32>()
        .map_err(|e| Error::new(ErrorKind::InvalidArgument, format!("scores must be f32: {e}")))?;
    let mut hits = Hits::default();
    for (row, &label) in scores.chunks_exact(classes).zip(labels) {
        let rank = rank(row, label as usize);
        hits.top1 += usize::from(rank == 0);
        hits.top5 += usize::from(rank < 5);
    }
    Ok(hits)
}

/// How many classes score above `label`: 0 is a top-1 hit, below 5 a top-5 hit.
///
/// A tie goes to the lower index, as `argmax` has it; a label that is not a number loses to everything.
pub fn rank(scores: &[f32], label: usize) -> usize {
    let Some(&own) = scores.get(label) else {
        return scores.len();
    };
    if own.is_nan() {
        return scores.len();
    }
    scores.iter().enumerate().filter(|&(index, &score)| score > own || (score == own && index < label)).count()
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn ranks_by_hand() {
        let scores = [0.1, 0.7, 0.7, -1.0];
        assert_eq!([0, 1, 2, 3].map(|label| rank(&scores, label)), [2, 0, 1, 3]);
        assert_eq!(rank(&scores, 9), 4);
        assert_eq!(rank(&[f32::NAN, 0.0], 0), 2);
    }
}
