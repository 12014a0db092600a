//! What decoding may cost.

use crate::error::{Error, ErrorKind, Result};

/// Bounds on what hostile or huge input can make the decoder allocate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Most values of a decoded tensor. Default 2^30 (4 GiB of f32).
    pub max_values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_values: 1 << 30 }
    }
}

impl Limits {
    /// With another bound on the number of values.
    pub fn with_max_values(mut self, max_values: usize) -> Self {
        self.max_values = max_values;
        self
    }

    /// The element count of a shape read from bytes. A zero axis counts as one, since it would let the
    /// other axes be anything.
    pub(crate) fn check_shape(&self, shape: &[usize]) -> Result<()> {
        let values = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size.max(1)));
        match values {
            Some(values) if values <= self.max_values => Ok(()),
            _ => Err(Error::new(
                ErrorKind::LimitExceeded,
                format!("a tensor of shape {shape:?} exceeds the limit of {} values", self.max_values),
            )),
        }
    }
}
