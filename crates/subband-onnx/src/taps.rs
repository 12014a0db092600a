//! Places in a model whose maps can be coded: finding them, and choosing among them.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Serialize;

use crate::cut::needed;
use crate::engine::{Engine, Value};
use crate::error::{Error, Result};
use crate::model::{Model, operator};
use crate::network::{TappedNetwork, image_input, show_shape};
use crate::pattern::{self, Kind};

/// A place whose map can be coded.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Candidate {
    /// The value's name in the file.
    pub name: String,
    /// What makes it.
    pub kind: Kind,
    /// Whether it is the output of a residual block: a sum of two maps, or the activation behind one.
    pub block: bool,
    /// Whether a convolution reads it.
    pub conv_input: bool,
    /// Whether it can have no negative values.
    pub nonnegative: bool,
    /// Its axes for one input, without the batch.
    pub shape: Vec<usize>,
    /// Values for one input.
    pub values: usize,
    /// Its share in the values of all maps that an accelerator would write to memory layer by layer, 0 to 1.
    pub share: f64,
}

/// All places in `model` whose maps can be coded, in the order of the graph. One input of zeros goes through the network
/// to find the shapes; `shape` is its axes without the batch.
///
/// # Errors
/// Those of [`TappedNetwork::new`] and of a run.
pub fn candidates(model: &Model, engine: &dyn Engine, shape: &[usize]) -> Result<Vec<Candidate>> {
    let outputs: Vec<String> = model.outputs().into_iter().map(|output| output.name).collect();
    let needed = needed(model, &outputs);
    let mut found = Vec::new();
    let gates = pattern::gates(model);
    for node in (0..model.nodes()).filter(|node| needed.contains(node) && !gates.contains(node)) {
        let Some(name) = model.node(node).output.first() else { continue };
        if model.is_output(name) || model.is_constant(name) || !model.element_type(name).is_float() {
            continue;
        }
        let reads_conv = |&reader: &usize| {
            matches!(operator(model.node(reader)), "Conv" | "ConvTranspose" | "FusedConv")
                && model.node(reader).input.first() == Some(name)
        };
        let conv_input = model.readers(name).iter().any(reads_conv);
        let kind = pattern::activation(model, node);
        let add = pattern::is_residual_add(model, node);
        if add && pattern::only_activation_behind(model, name).is_some() {
            continue;
        }
        let behind_add = kind.is_some()
            && model.reads(node).iter().any(|value| {
                model.producer(value).is_some_and(|maker| pattern::is_residual_add(model, maker))
                    && pattern::only_activation_behind(model, value) == Some(node)
            });
        if kind.is_some() || add || conv_input {
            found.push(Candidate {
                name: name.clone(),
                kind: kind.unwrap_or(if add { Kind::Add } else { Kind::Other }),
                block: add || behind_add,
                conv_input,
                nonnegative: pattern::is_nonnegative(model, name),
                shape: Vec::new(),
                values: 0,
                share: 0.0,
            });
        }
    }
    let stored = pattern::stored_maps(model, &needed);
    let shapes = shapes(model, engine, shape, found.iter().map(|tap| &tap.name).chain(&stored))?;
    let total: usize = stored.iter().map(|name| shapes[name.as_str()].iter().product::<usize>()).sum();
    for tap in &mut found {
        tap.shape = shapes[tap.name.as_str()].clone();
        tap.values = tap.shape.iter().product();
        tap.share = tap.values as f64 / total.max(1) as f64;
    }
    // Vectors behind the pooling are no maps.
    found.retain(|tap| tap.shape.len() >= 2 && tap.values > 0);
    Ok(found)
}

/// Axes without the batch of `values`, for one input.
fn shapes<'a>(
    model: &Model,
    engine: &dyn Engine,
    shape: &[usize],
    values: impl Iterator<Item = &'a String>,
) -> Result<HashMap<String, Vec<usize>>> {
    let mut outputs: Vec<String> = values.cloned().collect();
    outputs.sort_unstable();
    outputs.dedup();
    if outputs.is_empty() {
        return Ok(HashMap::new());
    }
    let network = TappedNetwork::ending_in(model, engine, &[], &outputs)?;
    let batched: Vec<usize> = std::iter::once(1).chain(shape.iter().copied()).collect();
    let zeros = Value::float(batched.clone(), vec![0.0; batched.iter().product()]);
    let found = network.run(zeros, &mut |_, map| Ok(map))?;
    let shape_of = |value: &Value| value.shape.iter().skip(1).copied().collect();
    Ok(outputs.into_iter().zip(found.iter().map(shape_of)).collect())
}

/// The axes of one input without the batch; `size` (height, width) fills in what the model leaves open.
///
/// # Errors
/// `InvalidArgument` where an axis is open and no size was given, or one was that the model does not take.
pub fn input_shape(model: &Model, size: Option<[usize; 2]>) -> Result<Vec<usize>> {
    let input = image_input(model)?;
    let mut shape = input.shape.clone();
    if let (Some(spatial), Some(size)) = (input.spatial(), size) {
        if spatial.iter().zip(size).any(|(&axis, size)| shape[axis].is_some_and(|fixed| fixed != size)) {
            return Err(Error::argument(format!(
                "the model's input is {}: it does not take {} x {}",
                show_shape(&input.shape),
                size[0],
                size[1]
            )));
        }
        spatial.into_iter().zip(size).for_each(|(axis, size)| shape[axis] = Some(size));
    }
    if input.spatial().is_some() && shape[1].is_none() {
        shape[1] = Some(3);
    }
    let shape = shape.get(1..).unwrap_or_default();
    shape.iter().copied().collect::<Option<Vec<_>>>().filter(|shape| !shape.is_empty()).ok_or_else(|| {
        Error::argument(format!(
            "the model's input `{}` is {}: say its height and width with --input-size",
            input.name,
            show_shape(&input.shape)
        ))
    })
}

/// Which candidates are coded: a word, a pattern of names, or a file with names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TapChoice {
    /// Outputs of residual blocks.
    Blocks,
    /// Outputs of every activation.
    Activations,
    /// Everything that a convolution reads.
    ConvInputs,
    /// Every candidate.
    All,
    /// One kind.
    Kind(Kind),
    /// Names with `*` for any characters and `?` for one.
    Glob(String),
    /// A text file with a name a line.
    File(PathBuf),
}

impl FromStr for TapChoice {
    type Err = Error;

    /// `blocks`, `activations`, `conv`, `all`, the name of a [`Kind`], `@FILE`; anything else is a pattern of names.
    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "blocks" => Self::Blocks,
            "activations" => Self::Activations,
            "conv" => Self::ConvInputs,
            "all" => Self::All,
            "" => return Err(Error::argument("no taps are named")),
            _ => match (text.strip_prefix('@'), Kind::ALL.into_iter().find(|kind| kind.name() == text)) {
                (Some(path), _) => Self::File(path.into()),
                (None, Some(kind)) => Self::Kind(kind),
                (None, None) => Self::Glob(text.into()),
            },
        })
    }
}

impl fmt::Display for TapChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blocks => f.write_str("blocks"),
            Self::Activations => f.write_str("activations"),
            Self::ConvInputs => f.write_str("conv"),
            Self::All => f.write_str("all"),
            Self::Kind(kind) => f.write_str(kind.name()),
            Self::Glob(pattern) => f.write_str(pattern),
            Self::File(path) => write!(f, "@{}", path.display()),
        }
    }
}

impl TapChoice {
    /// Those of `candidates` that are meant, in their order.
    ///
    /// # Errors
    /// `InvalidArgument` where none is, or a name of a file is no candidate; `Io` where the file cannot be read.
    pub fn choose(&self, candidates: &[Candidate]) -> Result<Vec<Candidate>> {
        let names = match self {
            Self::File(path) => Some(read_names(path, candidates)?),
            _ => None,
        };
        let meant = |tap: &&Candidate| match self {
            Self::Blocks => tap.block,
            Self::Activations => tap.kind.is_activation(),
            Self::ConvInputs => tap.conv_input,
            Self::All => true,
            Self::Kind(kind) => tap.kind == *kind,
            Self::Glob(pattern) => matches(pattern, &tap.name),
            Self::File(_) => names.as_ref().is_some_and(|names| names.contains(&tap.name)),
        };
        let chosen: Vec<Candidate> = candidates.iter().filter(meant).cloned().collect();
        if chosen.is_empty() {
            return Err(Error::argument(format!(
                "no tap of the model is meant by `{self}`: it has {}, which `subband taps` lists",
                kinds(candidates)
            )));
        }
        Ok(chosen)
    }
}

/// How many there are of each kind, such as `35 of clip, 10 of add`.
fn kinds(candidates: &[Candidate]) -> String {
    let count = |kind| candidates.iter().filter(|tap| tap.kind == kind).count();
    let some = Kind::ALL.into_iter().map(|kind| (count(kind), kind.name())).filter(|&(count, _)| count > 0);
    let parts: Vec<String> = some.map(|(count, name)| format!("{count} of {name}")).collect();
    if parts.is_empty() { "none".into() } else { parts.join(", ") }
}

fn read_names(path: &Path, candidates: &[Candidate]) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    match names.iter().find(|name| !candidates.iter().any(|tap| tap.name == **name)) {
        Some(name) => Err(Error::argument(format!("{} names `{name}`, which is no tap of the model", path.display()))),
        None => Ok(names),
    }
}

/// Whether `name` fits `pattern` as a whole.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Greedy, with one point of return: the last `*` seen and how much it has taken.
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match back {
                Some((star, taken)) => {
                    back = Some((star, taken + 1));
                    (p, n) = (star + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_by_hand() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("layer?/relu", "layer3/relu", true),
            ("layer?/relu", "layer12/relu", false),
            ("*relu*", "/layer1/relu_1/Relu_output_0", true),
            ("a*b*c", "axxbxxbxc", true),
            ("a*b*c", "axxbxx", false),
            ("t1", "t11", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
