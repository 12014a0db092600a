/// How many classes score above `label`: 0 is a top-1 hit, below 5 a top-5 hit.
///
/// A tie goes to the lower index, as `argmax` has it; a label that is not a number loses to everything.
pub(crate) fn rank(scores: &[f32], label: usize) -> usize {
    let Some(&own) = scores.get(label) else {
        return scores.len();
    };
    if own.is_nan() {
        return scores.len();
    }
    scores
        .iter()
        .enumerate()
        .filter(|&(index, &score)| score > own || (score == own && index < label))
        .count()
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
