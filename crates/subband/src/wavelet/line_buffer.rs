//! How many samples a transform in hardware has to hold back, found by running the lifting steps as the samples come.

use super::{Lifting, LiftingStep, SubbandLayout, Wavelet};

impl Wavelet {
    /// Values that a streaming transform of one plane holds at most, the plane coming row by row and every coefficient
    /// leaving as soon as it is final: rows that wait for rows below, over all levels, and the samples of a row that wait
    /// for those to their right. The least that the lifting steps allow.
    ///
    /// ```
    /// // Haar holds every even row of a level, and the even sample of a pair.
    /// assert_eq!(subband::Wavelet::Haar.line_buffer(1, 56, 56), 56 + 1);
    /// ```
    pub fn line_buffer(self, levels: u8, height: usize, width: usize) -> usize {
        let layout = SubbandLayout::new(height, width, levels);
        let lifting = self.lifting();
        let of_region = |(height, width)| held(&lifting, height) * width + held(&lifting, width);
        (1..=levels).map(|level| of_region(layout.region(level))).sum()
    }
}

/// Most samples of a signal of `n` that have come and are not final, when everything is done that can be.
fn held(lifting: &Lifting, n: usize) -> usize {
    match *lifting {
        _ if n < 2 => 0,
        Lifting::Identity => 0,
        Lifting::Butterfly { .. } => 1,
        Lifting::Steps { steps, extension, .. } => {
            let part = extension.part(n);
            let sources = |step: usize, at: usize| {
                steps[step].terms.map(|(offset, _)| extension.sample(at as isize + offset, part))
            };
            // What reads each sample, and the steps behind it: both sides of a lifting step keep their order.
            let mut readers = vec![Vec::new(); part];
            for (step, LiftingStep { parity, .. }) in steps.iter().enumerate() {
                for at in (*parity..part).step_by(2) {
                    sources(step, at).into_iter().for_each(|source| readers[source].push((step, at)));
                }
            }
            let first = |at: usize| (0..steps.len()).find(|&s| steps[s].parity == at % 2).unwrap_or(steps.len());
            let mut next: Vec<usize> = (0..part).map(first).collect();
            let (mut most, mut gone) = (0, vec![false; part]);
            for come in 1..=part {
                loop {
                    let ready = (0..come).find(|&at| {
                        let step = next[at];
                        step < steps.len()
                            && sources(step, at).iter().all(|&source| source < come && next[source] >= step)
                            && readers[at].iter().all(|&(reading, by)| reading >= step || next[by] > reading)
                    });
                    let Some(at) = ready else { break };
                    next[at] = (next[at] + 1..steps.len()).find(|&s| steps[s].parity == at % 2).unwrap_or(steps.len());
                }
                for at in 0..come {
                    gone[at] = next[at] == steps.len() && readers[at].iter().all(|&(reading, by)| next[by] > reading);
                }
                most = most.max(gone[..come].iter().filter(|gone| !**gone).count());
            }
            most
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let held = |wavelet: Wavelet, n| held(&wavelet.lifting(), n);
        assert_eq!((held(Wavelet::Haar, 8), held(Wavelet::None, 8), held(Wavelet::Cdf97, 1)), (1, 0, 0));
        // 5/3: an odd sample waits for the even one behind it, beside the even one before it and the detail before that.
        assert_eq!(held(Wavelet::LeGall53, 32), 3);
        // Twice as many steps hold twice as much back, but for the sample that both halves share.
        assert_eq!(held(Wavelet::Cdf97, 32), 5);
        assert_eq!(held(Wavelet::LeGall53, 33), 3);
        // No more for longer signals; periodic ones hold their beginning until the end.
        for wavelet in Wavelet::ALL {
            assert_eq!(held(wavelet, 32), held(wavelet, 64), "{wavelet}");
        }
    }
}
