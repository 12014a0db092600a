//! A model cut at its taps, ready to run: input in, maps through a hook, outputs out.

use std::collections::HashMap;
use std::sync::Arc;

use crate::cut::{Stage, cut};
use crate::engine::{Engine, Prepared, Value};
use crate::error::{Error, Result};
use crate::model::{Model, Port};

/// A network whose values at `taps` pass through the caller's hands.
pub struct TappedNetwork {
    stages: Vec<(Stage, Box<dyn Prepared>)>,
    input: Port,
    outputs: Vec<String>,
    taps: Vec<String>,
}

/// Receives the number of a tap and its value for the whole batch, and returns what the network goes on with.
pub type Hook<'a> = dyn FnMut(usize, Value) -> Result<Value> + 'a;

impl TappedNetwork {
    /// Cuts `model` at `taps`, in any order, and prepares the parts.
    ///
    /// # Errors
    /// `InvalidArgument` for taps that cannot be coded and models with more than one input; `Unsupported` where `engine`
    /// cannot run the model.
    pub fn new(model: &Model, engine: &dyn Engine, taps: &[String]) -> Result<Self> {
        let outputs: Vec<String> = model.outputs().into_iter().map(|output| output.name).collect();
        Self::ending_in(model, engine, taps, &outputs)
    }

    /// The same with other values as outputs.
    pub(crate) fn ending_in(model: &Model, engine: &dyn Engine, taps: &[String], outputs: &[String]) -> Result<Self> {
        let input = image_input(model)?;
        let stages = cut(model, taps, outputs)?
            .into_iter()
            .map(|stage| {
                let prepared = engine.prepare(stage.segment(model)?)?;
                Ok((stage, prepared))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { stages, input, outputs: outputs.to_vec(), taps: taps.to_vec() })
    }

    /// Names of the taps, in the order of their numbers.
    pub fn taps(&self) -> &[String] {
        &self.taps
    }

    /// Number of stages; stage s codes the taps [`taps_of`](Self::taps_of) it at its end.
    pub fn stages(&self) -> usize {
        self.stages.len()
    }

    /// Numbers of the taps at the end of a stage.
    pub fn taps_of(&self, stage: usize) -> impl Iterator<Item = usize> + '_ {
        self.stages[stage].0.taps.iter().map(|&(_, tap)| tap)
    }

    /// Runs a batch through. A map is dropped when its last reader is done.
    ///
    /// # Errors
    /// `InvalidArgument` for an input that does not fit; the engine's; the hook's.
    pub fn run(&self, input: Value, hook: &mut Hook<'_>) -> Result<Vec<Value>> {
        self.begin(input)?.finish(hook)
    }

    /// A run that is still before its first stage.
    pub fn begin(&self, input: Value) -> Result<Walk<'_>> {
        let fits = self.input.shape.is_empty()
            || self.input.shape.len() == input.shape.len()
                && self.input.shape.iter().zip(&input.shape).all(|(want, have)| want.is_none_or(|want| want == *have));
        if !fits {
            return Err(Error::argument(format!(
                "the model's input `{}` is {}: it was given {:?}",
                self.input.name,
                show_shape(&self.input.shape),
                input.shape
            )));
        }
        let live = HashMap::from([(self.input.name.as_str(), Arc::new(input))]);
        Ok(Walk { network: self, stage: 0, live })
    }
}

impl std::fmt::Debug for TappedNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TappedNetwork").field("taps", &self.taps).field("stages", &self.stages.len()).finish()
    }
}

/// A run between two stages, with the maps that are still to be read. A clone shares them, so that one beginning can have
/// several ends.
#[derive(Clone)]
pub struct Walk<'a> {
    network: &'a TappedNetwork,
    stage: usize,
    live: HashMap<&'a str, Arc<Value>>,
}

impl<'a> Walk<'a> {
    /// The stage that comes next.
    pub fn stage(&self) -> usize {
        self.stage
    }

    /// Whether all stages are done.
    pub fn is_done(&self) -> bool {
        self.stage == self.network.stages.len()
    }

    /// Runs the next stage and gives its taps to `hook`.
    pub fn advance(&mut self, hook: &mut Hook<'_>) -> Result<()> {
        let (stage, prepared) = &self.network.stages[self.stage];
        let inputs = stage.inputs.iter().map(|name| {
            let value = self.live.get(name.as_str());
            value.map(|value| &**value).ok_or_else(|| Error::model(format!("`{name}` is gone before it is read")))
        });
        let results = prepared.run(&inputs.collect::<Result<Vec<_>>>()?)?;
        for name in &stage.last_read {
            self.live.remove(name.as_str());
        }
        for (at, (name, value)) in stage.outputs.iter().zip(results).enumerate() {
            let value = match stage.taps.iter().find(|(position, _)| *position == at) {
                Some(&(_, tap)) => hook(tap, value)?,
                None => value,
            };
            self.live.insert(name, Arc::new(value));
        }
        self.stage += 1;
        Ok(())
    }

    /// The map of a tap that was made and not yet dropped.
    pub fn map(&self, tap: usize) -> Option<&Value> {
        self.live.get(self.network.taps[tap].as_str()).map(|value| &**value)
    }

    /// Puts another map in the place of a tap's.
    pub fn replace(&mut self, tap: usize, map: Value) {
        self.live.insert(self.network.taps[tap].as_str(), Arc::new(map));
    }

    /// Runs all stages that are left; the outputs, in the order of the model's.
    pub fn finish(mut self, hook: &mut Hook<'_>) -> Result<Vec<Value>> {
        while !self.is_done() {
            self.advance(hook)?;
        }
        let outputs = self.network.outputs.iter().map(|name| {
            let value = self.live.remove(name.as_str());
            value.map(Arc::unwrap_or_clone).ok_or_else(|| Error::model(format!("the output `{name}` was not made")))
        });
        outputs.collect()
    }
}

/// The one input of a network of images.
pub(crate) fn image_input(model: &Model) -> Result<Port> {
    let mut inputs = model.inputs();
    if inputs.len() != 1 {
        let names: Vec<_> = inputs.iter().map(|input| format!("`{}`", input.name)).collect();
        return Err(Error::argument(format!(
            "the model has {} inputs ({}): networks with one are supported",
            inputs.len(),
            names.join(", ")
        )));
    }
    let input = inputs.remove(0);
    if !model.element_type(&input.name).is_float() {
        return Err(Error::argument(format!("the model's input `{}` takes no f32 values", input.name)));
    }
    Ok(input)
}

/// `[?, 3, 224, 224]`.
pub(crate) fn show_shape(shape: &[Option<usize>]) -> String {
    let sizes: Vec<_> = shape.iter().map(|size| size.map_or("?".to_owned(), |size| size.to_string())).collect();
    format!("[{}]", sizes.join(", "))
}
