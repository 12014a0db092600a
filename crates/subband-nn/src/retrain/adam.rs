use crate::error::{Error, Result};
use crate::tensor_map::TensorMap;

const BETA: [f64; 2] = [0.9, 0.999];
const EPSILON: f64 = 1e-8;

/// A few learned numbers with their own optimizer: Adam (Kingma and Ba 2015).
///
/// Steps and scores do not move under the SGD of the weights, whose gradients are of another size altogether; Adam's step
/// does not depend on the size.
#[derive(Clone, Debug)]
pub(crate) struct Learned {
    pub values: Vec<f32>,
    moments: [Vec<f32>; 2],
    steps: u32,
}

impl Learned {
    pub fn new(values: Vec<f32>) -> Self {
        let zeros = vec![0.0; values.len()];
        Self { values, moments: [zeros.clone(), zeros], steps: 0 }
    }

    /// One step at learning rate `rate`; gradients that are no numbers are passed over.
    pub fn step(&mut self, gradients: &[f32], rate: f64) {
        self.steps += 1;
        let correction = BETA.map(|beta| 1.0 - beta.powi(self.steps as i32));
        let [first, second] = &mut self.moments;
        for (((value, first), second), &gradient) in self.values.iter_mut().zip(first).zip(second).zip(gradients) {
            let gradient = f64::from(gradient);
            if !gradient.is_finite() {
                continue;
            }
            *first = (BETA[0] * f64::from(*first) + (1.0 - BETA[0]) * gradient) as f32;
            *second = (BETA[1] * f64::from(*second) + (1.0 - BETA[1]) * gradient * gradient) as f32;
            let (mean, square) = (f64::from(*first) / correction[0], f64::from(*second) / correction[1]);
            *value -= (rate * mean / (square.sqrt() + EPSILON)) as f32;
        }
    }

    /// Values and moments under names that begin with `name`.
    pub fn save(&self, name: &str, to: &mut TensorMap) {
        let shape = vec![self.values.len()];
        to.insert(name, shape.clone(), self.values.clone());
        to.insert(format!("{name}.first_moment"), shape.clone(), self.moments[0].clone());
        to.insert(format!("{name}.second_moment"), shape, self.moments[1].clone());
        to.insert(format!("{name}.adam_steps"), vec![1], vec![self.steps as f32]);
    }

    /// Takes over what [`save`](Self::save) wrote.
    pub fn load(&mut self, name: &str, from: &mut TensorMap) -> Result<()> {
        let count = self.values.len();
        let mut take = |name: String, count: usize| match from.remove(&name) {
            Some(array) if array.values.len() == count => Ok(array.values),
            Some(array) => {
                Err(Error::checkpoint(format!("{name} has {} values, expected {count}", array.values.len())))
            }
            None => Err(Error::checkpoint(format!("{name} is missing"))),
        };
        self.values = take(name.into(), count)?;
        self.moments = [take(format!("{name}.first_moment"), count)?, take(format!("{name}.second_moment"), count)?];
        self.steps = take(format!("{name}.adam_steps"), 1)?[0] as u32;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_the_learning_rate_whatever_the_gradient() {
        let mut learned = Learned::new(vec![1.0, 1.0, 1.0]);
        learned.step(&[1e-6, -50.0, f32::NAN], 0.01);
        for (value, expected) in learned.values.iter().zip([0.99, 1.01, 1.0]) {
            assert!((value - expected).abs() < 2e-4, "{value}");
        }
    }

    #[test]
    fn it_finds_the_bottom_of_a_bowl_and_survives_a_checkpoint() {
        let mut learned = Learned::new(vec![3.0, -2.0]);
        for step in 0..2000 {
            let gradients: Vec<f32> = learned.values.iter().map(|v| 2.0 * (v - 1.0)).collect();
            learned.step(&gradients, 0.01);
            if step == 1000 {
                let mut map = TensorMap::default();
                learned.save("a", &mut map);
                let mut again = Learned::new(vec![0.0, 0.0]);
                again.load("a", &mut map).unwrap();
                learned = again;
            }
        }
        assert!(learned.values.iter().all(|v| (v - 1.0).abs() < 1e-3), "{:?}", learned.values);
        assert!(Learned::new(vec![0.0]).load("a", &mut TensorMap::default()).is_err());
    }
}
