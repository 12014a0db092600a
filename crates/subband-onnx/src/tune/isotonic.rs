/// The non-decreasing values that are closest to `y`, in squares: pooling of adjacent violators (Ayer et al. 1955).
pub(super) fn isotonic(y: &[f64]) -> Vec<f64> {
    // Means and lengths of what is pooled.
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for &value in y {
        pools.push((value, 1));
        while let [.., (before, m), (last, n)] = pools[..]
            && before > last
        {
            pools.pop();
            let length = m + n;
            *pools.last_mut().expect("there were two") =
                ((before * m as f64 + last * n as f64) / length as f64, length);
        }
    }
    pools.into_iter().flat_map(|(mean, length)| std::iter::repeat_n(mean, length)).collect()
}

#[cfg(test)]
mod tests {
    use super::isotonic;

    #[test]
    fn by_hand() {
        assert!(isotonic(&[]).is_empty());
        assert_eq!(isotonic(&[1.0, 2.0, 2.0, 5.0]), [1.0, 2.0, 2.0, 5.0]);
        assert_eq!(isotonic(&[1.0, 4.0, 2.0, 3.0, 9.0]), [1.0, 3.0, 3.0, 3.0, 9.0]);
        assert_eq!(isotonic(&[3.0, 2.0, 1.0]), [2.0; 3]);
    }
}
