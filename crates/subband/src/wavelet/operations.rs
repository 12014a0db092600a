//! What a transform costs, counted from the wavelet's lifting steps and the sizes of its regions.

use std::ops::{Add, AddAssign, Mul};

use super::{Lifting, SubbandLayout, Wavelet};

/// Work on values. Comparing, shifting, changing signs and rounding are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Operations {
    /// Additions and subtractions.
    pub adds: u64,
    /// Multiplications; by 1 and -1 is none.
    pub multiplies: u64,
    /// Values read from and written to working memory: a pass over rows or columns reads and writes each sample once.
    pub accesses: u64,
}

impl Wavelet {
    /// Work of the float transform of a plane over `levels` levels. That of its inverse is the same.
    ///
    /// ```
    /// // A level of Haar: two additions and two multiplications a pair, along rows, then along columns.
    /// let work = subband::Wavelet::Haar.operations(1, 8, 8);
    /// assert_eq!((work.adds, work.multiplies), (2 * 64, 2 * 64));
    /// ```
    pub fn operations(self, levels: u8, height: usize, width: usize) -> Operations {
        let layout = SubbandLayout::new(height, width, levels);
        let lifting = self.lifting();
        let regions = (1..=levels).map(|level| layout.region(level));
        let of_region = |(height, width)| pass(&lifting, width) * height + pass(&lifting, height) * width;
        regions.map(of_region).fold(Operations::default(), Operations::add)
    }
}

/// Work on a signal of `n` samples.
fn pass(lifting: &Lifting, n: usize) -> Operations {
    if n < 2 {
        return Operations::default();
    }
    let accesses = 2 * n as u64;
    match *lifting {
        Lifting::Identity => Operations::default(),
        Lifting::Butterfly { .. } => {
            let pairs = (n / 2) as u64;
            Operations { adds: 2 * pairs, multiplies: 2 * pairs + (n % 2) as u64, accesses }
        }
        Lifting::Steps { steps, extension, scale, .. } => {
            let part = extension.part(n);
            let mut work = Operations { accesses, ..Operations::default() };
            for step in steps {
                let changed = ((part + 1 - step.parity) / 2) as u64;
                let weights = || step.terms.iter().map(|&(_, weight)| weight).filter(|&weight| weight != 0.0);
                let factors = weights().chain([step.factor]).filter(|factor| factor.abs() != 1.0);
                work.adds += changed * weights().count() as u64;
                work.multiplies += changed * factors.count() as u64;
            }
            let samples = [part.div_ceil(2), part / 2, n - part];
            let scaled = samples.iter().zip(scale).filter(|(_, factor)| *factor != 1.0);
            work.multiplies += scaled.map(|(&samples, _)| samples as u64).sum::<u64>();
            work
        }
    }
}

impl Add for Operations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Operations {
            adds: self.adds + other.adds,
            multiplies: self.multiplies + other.multiplies,
            accesses: self.accesses + other.accesses,
        }
    }
}

impl AddAssign for Operations {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul<usize> for Operations {
    type Output = Self;

    fn mul(self, times: usize) -> Self {
        let times = times as u64;
        Operations { adds: self.adds * times, multiplies: self.multiplies * times, accesses: self.accesses * times }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lifting::{Real, float_lifting};
    use super::super::separable::{PlaneScratch, forward, inverse};
    use super::*;
    use std::cell::Cell;
    use std::ops::Sub;

    thread_local! {
        static DONE: Cell<[u64; 2]> = const { Cell::new([0; 2]) };
    }

    /// A number that counts what is done with it.
    #[derive(Clone, Copy, Default)]
    struct Counted(f32);

    fn count(what: usize) {
        DONE.with(|done| {
            let mut counts = done.get();
            counts[what] += 1;
            done.set(counts);
        });
    }

    impl Real for Counted {}

    impl Add for Counted {
        type Output = Self;
        fn add(self, other: Self) -> Self {
            count(0);
            Counted(self.0 + other.0)
        }
    }

    impl Sub for Counted {
        type Output = Self;
        fn sub(self, other: Self) -> Self {
            count(0);
            Counted(self.0 - other.0)
        }
    }

    impl Mul<f32> for Counted {
        type Output = Self;
        fn mul(self, factor: f32) -> Self {
            count(1);
            Counted(self.0 * factor)
        }
    }

    #[test]
    fn as_many_as_the_codec_does() {
        for wavelet in Wavelet::ALL {
            let lifts = float_lifting::<Counted>(wavelet);
            let (there, back) = (lifts.map(|(forward, _)| forward), lifts.map(|(_, inverse)| inverse));
            for (height, width, levels) in
                [(8, 8, 3), (7, 5, 2), (1, 9, 3), (14, 14, 4), (6, 1, 1), (3, 2, 8), (1, 1, 2), (32, 32, 0)]
            {
                let layout = SubbandLayout::new(height, width, levels);
                let plane = vec![Counted(1.5); height * width];
                let (mut scratch, mut coefficients) = (PlaneScratch::default(), plane.clone());
                let work = wavelet.operations(levels, height, width);
                let expected = [work.adds, work.multiplies];
                DONE.set([0; 2]);
                forward(there, &layout, &plane, &mut scratch, &mut coefficients);
                assert_eq!(DONE.get(), expected, "{wavelet} {height}x{width} {levels} forward");
                DONE.set([0; 2]);
                let mut decoded = plane.clone();
                inverse(back, &layout, &coefficients, &mut scratch, &mut decoded);
                assert_eq!(DONE.get(), expected, "{wavelet} {height}x{width} {levels} inverse");
            }
        }
    }

    #[test]
    fn by_hand() {
        // 5/3 on 4 samples: two predictions and two updates of two additions and a multiplication, four scales.
        let line = Operations { adds: 8, multiplies: 4 + 4, accesses: 8 };
        assert_eq!(Wavelet::LeGall53.operations(1, 1, 4), line);
        // db2 on 5: its first 4 samples alone take part; the fifth is scaled.
        let line = Operations { adds: 2 + 4 + 2, multiplies: 2 + 4 + 4 + 1, accesses: 10 };
        assert_eq!(Wavelet::Db2.operations(1, 5, 1), line);
        assert_eq!(Wavelet::None.operations(0, 8, 8), Operations::default());
    }
}
