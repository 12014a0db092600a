//! Work on the maps of a batch, one image at a time, on all threads.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::error::{Error, Result};

/// [`for_each_map`] on a burn tensor `[N, C, H, W]`, into another one.
pub(crate) fn for_each_image<S: Send, R: Send>(
    map: Tensor<4>,
    states: &mut [S],
    work: impl Fn(&mut S, &[f32], &mut [f32]) -> Result<R> + Sync,
) -> Result<(Tensor<4>, Vec<R>)> {
    let shape = map.dims();
    let device = map.device();
    let size = shape[1] * shape[2] * shape[3];
    let data = map.into_data();
    let values = data.as_slice::<f32>().map_err(|e| Error::argument(format!("maps must be f32: {e}")))?;
    let mut decoded = vec![0f32; values.len()];
    let results = for_each_map(values, size, &mut decoded, states, work)?;
    let tensor = Tensor::from_data(TensorData::new(decoded, shape), &device);
    Ok((tensor, results))
}

/// Calls `work(state, map, decoded)` for each map of `size` values in `values`, in parallel, and returns the results in
/// the order of the maps; `decoded` is as long as `values`.
///
/// Each of `states` serves one thread and keeps what it counts from call to call, so that totals that do not depend on
/// order (integers) can be kept there; what does depend on it (sums of floats) belongs in the results.
///
/// # Errors
/// The error of the first map that has one, whichever thread met it.
pub fn for_each_map<S: Send, R: Send, E: Send>(
    values: &[f32],
    size: usize,
    decoded: &mut [f32],
    states: &mut [S],
    work: impl Fn(&mut S, &[f32], &mut [f32]) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let maps = values.len() / size.max(1);
    let part = maps.div_ceil(states.len().max(1)).max(1) * size.max(1);
    let results: Vec<Vec<Result<R, E>>> = decoded
        .par_chunks_mut(part)
        .zip(values.par_chunks(part))
        .zip(states.par_iter_mut())
        .map(|((decoded, values), state)| {
            decoded
                .chunks_exact_mut(size)
                .zip(values.chunks_exact(size))
                .map(|(decoded, map)| work(state, map, decoded))
                .collect()
        })
        .collect();
    results.into_iter().flatten().collect()
}

/// One `T` for each thread of the current pool.
pub(crate) fn one_per_thread<T>(make: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    std::iter::repeat_with(make).take(rayon::current_num_threads()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn results_keep_the_order_of_the_images() {
        let values: Vec<f32> = (0..14).map(|v| v as f32).collect();
        for threads in [1, 3, 20] {
            let map = Tensor::from_data(TensorData::new(values.clone(), [7, 2, 1, 1]), &Device::default());
            let mut states = vec![0; threads];
            let (doubled, firsts) = for_each_image(map, &mut states, |count, map, decoded| {
                *count += 1;
                decoded[0] = 2.0 * map[0];
                decoded[1] = 2.0 * map[1];
                Ok(map[0])
            })
            .unwrap();
            assert_eq!(firsts, [0., 2., 4., 6., 8., 10., 12.]);
            let doubled = doubled.into_data().try_to_vec::<f32>().unwrap();
            assert_eq!(doubled, values.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
            assert_eq!(states.iter().sum::<i32>(), 7);
        }
    }

    #[test]
    fn the_first_image_in_order_names_the_error() {
        let map = Tensor::<4>::zeros([4, 1, 1, 1], &Device::default());
        let map = map + Tensor::<1>::from_floats([0., 1., 2., 3.], &Device::default()).reshape([4, 1, 1, 1]);
        let error = for_each_image(map, &mut [(), ()], |_, map, _| {
            if map[0] >= 1.0 { Err::<(), _>(Error::argument(format!("image {}", map[0]))) } else { Ok(()) }
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "image 1");
    }
}
