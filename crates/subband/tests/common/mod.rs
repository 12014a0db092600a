//! What several tests make.

use subband::{Coding, Scratch, TapCalibrator, TapProfile};

/// A tap fitted to a map and counted on it.
pub fn fitted_tap(shape: [usize; 3], coding: Coding, map: &[f32]) -> TapProfile {
    let mut calibrator = TapCalibrator::new("tap", shape, coding).unwrap();
    let (mut scratch, mut decoded) = (Scratch::default(), vec![0.0; map.len()]);
    calibrator.observe(map, &mut scratch, &mut decoded).unwrap();
    calibrator.fit();
    calibrator.observe(map, &mut scratch, &mut decoded).unwrap();
    calibrator.finish()
}
