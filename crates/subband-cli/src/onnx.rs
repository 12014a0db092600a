//! The ONNX model, the engine and the inputs that taps, eval and calibrate share.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use subband::TensorData;
use subband_nn::Layers;
use subband_onnx::{
    Axes, Candidate, Colours, Engine, ErrorKind, Inputs, Layout, Model, Port, Preprocess, Rten, Runnable, Size,
    candidates, input_shape, layers,
};

use crate::args;
use crate::tensor_file::TensorFile;

/// How an ONNX model is run and fed.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "ONNX models")]
pub struct OnnxArgs {
    /// What runs an ONNX model: rten, or ort (ONNX Runtime) where this build has it
    #[arg(long, value_name = "ENGINE", default_value = "rten", value_parser = ["rten", "ort"])]
    engine: String,

    /// Shared library of ONNX Runtime for `--engine ort`, such as that in PyPI's onnxruntime wheel [default: $SUBBAND_ORT_LIBRARY]
    #[arg(long, value_name = "FILE")]
    ort_library: Option<PathBuf>,

    /// How maps of few axes become planes: auto, lines ([N, C, L]) or tokens ([N, T, C])
    #[arg(long, value_name = "LAYOUT", default_value = "auto")]
    layout: Layout,

    /// TOML file with resize, crop, mean, std, scale, colours and layout of the model's input; options below override it
    #[arg(long, value_name = "FILE")]
    preprocess: Option<PathBuf>,

    /// Scale photographs so that the shorter side has so many pixels, or to HEIGHTxWIDTH; 0 does not [default: 256/224 of
    /// the crop]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    resize: Option<Size>,

    /// Height and width that the model is given: N or HEIGHTxWIDTH [default: what the model takes, else 224]
    #[arg(long, visible_alias = "input-size", value_name = "SIZE", value_parser = size)]
    crop: Option<Size>,

    /// Take batch and sizes that the file fixes for those of its export only: the network takes others too
    #[arg(long)]
    any_shape: bool,

    /// Mean of each colour, subtracted after scaling [default: 0.485,0.456,0.406]
    #[arg(long, value_name = "R,G,B", value_parser = three)]
    mean: Option<[f32; 3]>,

    /// Divisor of each colour [default: 0.229,0.224,0.225]
    #[arg(long, value_name = "R,G,B", value_parser = three)]
    std: Option<[f32; 3]>,

    /// Factor of pixels from 0 to 255 [default: 1/255]
    #[arg(long, value_name = "FACTOR", value_parser = args::finite)]
    scale: Option<f32>,

    /// The model takes blue, green, red
    #[arg(long)]
    bgr: bool,

    /// The model takes [N, H, W, C], where its input does not tell
    #[arg(long)]
    nhwc: bool,

    /// Text file with a line for each input of a .npy or .npz: the index of its class
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

/// A model that is ready to be cut.
pub struct Opened {
    pub model: Model,
    pub engine: Box<dyn Engine>,
    pub candidates: Vec<Candidate>,
    pub layout: Layout,
    /// Axes of one input, without the batch.
    shape: Vec<usize>,
    preprocess: Preprocess,
    labels: Option<PathBuf>,
}

/// Whether a `--model` means an ONNX file, and no bundled model.
pub fn is_file(model: &str) -> bool {
    Path::new(model).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

impl OnnxArgs {
    pub fn open(&self, path: &Path) -> Result<Opened> {
        let preprocess = self.preprocess()?;
        let mut model = Model::read(path)?;
        let size = preprocess.size();
        // The size of the export is the one to take where no other is wanted, fixed or not.
        let of_export = input_shape(&model, size);
        if self.any_shape {
            model = model.with_any_shape();
        }
        let engine = self.engine()?;
        // A size must come from somewhere; ImageNet's is what most classifiers were trained on.
        let guessed = of_export.is_err() && size.is_none();
        let shape = of_export.or_else(|_| input_shape(&model, size.or(Some([224, 224]))));
        let fixed = !self.any_shape && model.inputs().first().is_some_and(fixes_sizes);
        let told = |error: subband_onnx::Error| {
            let advice = match error.kind() {
                ErrorKind::InvalidArgument if fixed => {
                    " (--any-shape is for models that take other shapes than the one they were exported with)"
                }
                _ if guessed => {
                    " (nothing says the size of its input: taken was 224x224, --crop HEIGHTxWIDTH is for another)"
                }
                _ => "",
            };
            anyhow::Error::new(error).context(format!("{}{advice}", path.display()))
        };
        let shape = shape.map_err(told)?;
        let candidates = candidates(&model, &*engine, &shape).map_err(told)?;
        Ok(Opened { model, engine, candidates, layout: self.layout, shape, preprocess, labels: self.labels.clone() })
    }

    fn preprocess(&self) -> Result<Preprocess> {
        let mut preprocess = match &self.preprocess {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                Preprocess::from_toml(&text).with_context(|| path.display().to_string())?
            }
            None => Preprocess::default(),
        };
        preprocess.resize = self.resize.or(preprocess.resize);
        preprocess.crop = self.crop.or(preprocess.crop);
        preprocess.mean = self.mean.unwrap_or(preprocess.mean);
        preprocess.std = self.std.unwrap_or(preprocess.std);
        preprocess.scale = self.scale.unwrap_or(preprocess.scale);
        if self.bgr {
            preprocess.colours = Colours::Bgr;
        }
        if self.nhwc {
            preprocess.layout = Some(Axes::Nhwc);
        }
        preprocess.validate().map_err(|e| args::usage(e.to_string()))?;
        Ok(preprocess)
    }

    fn engine(&self) -> Result<Box<dyn Engine>> {
        if self.engine == "rten" {
            return Ok(Box::new(Rten::new()));
        }
        #[cfg(feature = "ort")]
        {
            let library =
                self.ort_library.clone().or_else(|| std::env::var_os("SUBBAND_ORT_LIBRARY").map(PathBuf::from));
            let library =
                library.ok_or_else(|| args::usage("--engine ort needs --ort-library or SUBBAND_ORT_LIBRARY"))?;
            Ok(Box::new(subband_onnx::Ort::load(&library)?))
        }
        #[cfg(not(feature = "ort"))]
        Err(args::usage("this build has no ONNX Runtime: build with --features ort"))
    }
}

/// Whether a file takes a batch of one number alone, or pictures of one size.
fn fixes_sizes(input: &Port) -> bool {
    input.shape.iter().enumerate().any(|(axis, size)| match axis {
        0 => size.is_some_and(|size| size > 1),
        1 => false,
        _ => size.is_some(),
    })
}

impl Opened {
    pub fn network(&self) -> Runnable<'_> {
        Runnable { model: &self.model, engine: &*self.engine, candidates: &self.candidates }
    }

    /// What it costs, layer by layer.
    pub fn layers(&self) -> Result<Layers> {
        Ok(layers(&self.model, &*self.engine, &self.shape)?)
    }

    /// Everything that outputs depend on beside the model and the files of inputs.
    pub fn settings(&self) -> String {
        format!("{} {:?} {:?} {:?}", self.engine.name(), self.shape, self.preprocess, self.labels)
    }

    /// The inputs in a folder or an array file.
    pub fn inputs(&self, data: &Path, classes: Option<&Path>) -> Result<Inputs> {
        let extension = data.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        if !matches!(extension.as_deref(), Some("npy" | "npz")) {
            let inputs = Inputs::folder(data, classes, self.preprocess.settle(&self.shape)?)?;
            self.check_classes(&inputs, data)?;
            return Ok(inputs);
        }
        let mut arrays = TensorFile::read(data)?.tensors;
        ensure!(arrays.len() == 1, "{} holds {} arrays: inputs come as one", data.display(), arrays.len());
        let array = arrays.remove(0).tensor;
        let shape = array.shape().to_vec();
        ensure!(
            shape.get(1..) == Some(&self.shape),
            "{} is {shape:?}: the model takes N of {:?}; where a model takes any size, --crop HEIGHTxWIDTH says which",
            data.display(),
            self.shape
        );
        let labels = self.labels.as_deref().map(read_labels).transpose()?;
        Ok(Inputs::arrays(data.display().to_string(), self.shape.clone(), floats(array.into_data()), labels)?)
    }
}

impl Opened {
    /// Folders numbered from 0 that are not the network's classes would give an accuracy nobody would question.
    fn check_classes(&self, inputs: &Inputs, data: &Path) -> Result<()> {
        let outputs = self.model.outputs();
        let output = outputs.first().map_or(&[][..], |output| output.shape.as_slice());
        let (Some(folders), [_, Some(classes)]) = (inputs.classes(), output) else { return Ok(()) };
        ensure!(
            folders == *classes,
            "{} holds {folders} classes and {} tells {classes} apart: name a classes file that has them all (lines `id name`, \
             in class order), or put the photographs into one folder without subfolders, which needs no labels",
            data.display(),
            printable(self.model.name())
        );
        Ok(())
    }
}

fn read_labels(path: &Path) -> Result<Vec<u32>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let label = |(index, line): (usize, &str)| {
        line.trim().parse().with_context(|| format!("{}, line {}: {line:?}", path.display(), index + 1))
    };
    text.lines().enumerate().map(label).collect()
}

fn floats(data: TensorData) -> Vec<f32> {
    match data {
        TensorData::F32(values) => values,
        TensorData::F16(values) => values.into_iter().map(f32::from).collect(),
        TensorData::Bf16(values) => values.into_iter().map(f32::from).collect(),
        TensorData::U8(values) => values.into_iter().map(f32::from).collect(),
        TensorData::I8(values) => values.into_iter().map(f32::from).collect(),
        TensorData::U16(values) => values.into_iter().map(f32::from).collect(),
        TensorData::I16(values) => values.into_iter().map(f32::from).collect(),
    }
}

fn size(text: &str) -> Result<Size, String> {
    let number = |text: &str| text.parse::<usize>().map_err(|_| "allowed are N and HEIGHTxWIDTH".to_owned());
    Ok(match text.split_once('x') {
        Some((height, width)) => Size::Exact([number(height)?, number(width)?]),
        None => Size::Side(number(text)?),
    })
}

fn three(text: &str) -> Result<[f32; 3], String> {
    let values: Vec<f32> = text.split(',').map(|part| args::finite(part.trim())).collect::<Result<_, _>>()?;
    match *values.as_slice() {
        [one] => Ok([one; 3]),
        [r, g, b] => Ok([r, g, b]),
        _ => Err("allowed are one number, or three with commas".into()),
    }
}

/// A name from a file, safe to print: a model's strings may hold anything.
pub fn printable(name: &str) -> String {
    name.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        assert!(is_file("a/b.onnx") && is_file("B.ONNX") && !is_file("resnet20-cifar10"));
        assert_eq!(size("224"), Ok(Size::Side(224)));
        assert_eq!(size("192x256"), Ok(Size::Exact([192, 256])));
        assert!(size("x").is_err() && three("1,2").is_err());
        assert_eq!(three("0.5"), Ok([0.5; 3]));
        assert_eq!(printable("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
