//! Single maps, for pictures of them.

use crate::engine::Data;
use crate::error::{Error, Result};
use crate::evaluate::Runnable;
use crate::inputs::Inputs;
use crate::layout::Layout;
use crate::network::TappedNetwork;

/// The maps of input `index` at `taps`, without any codec, each as planes `[C, H, W]`; `None` where the input cannot be
/// read.
///
/// # Errors
/// Those of [`TappedNetwork::new`] and of runs.
///
/// # Panics
/// Where there is no such input.
pub fn maps(
    network: &Runnable<'_>,
    inputs: &Inputs,
    index: usize,
    taps: &[String],
    layout: Layout,
) -> Result<Option<Vec<Vec<f32>>>> {
    let Some(value) = inputs.select([index]).batch(0, 1)?.value else { return Ok(None) };
    let tapped = TappedNetwork::new(network.model, network.engine, taps)?;
    let mut maps = vec![Vec::new(); taps.len()];
    tapped.run(value, &mut |tap, map| {
        let Data::Float(values) = &map.data else {
            return Err(Error::argument(format!("`{}` has no f32 values", taps[tap])));
        };
        let planes = layout.planes(&taps[tap], &map.shape[1..])?;
        if planes.is_plain() {
            maps[tap] = values.clone();
        } else {
            planes.gather(values, &mut maps[tap]);
        }
        Ok(map)
    })?;
    Ok(Some(maps))
}
