//! A sample in a folder, for the process that measures peak memory.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use subband::{Coding, Limits, Profile, Steps};
use subband_baselines::{Layout, Width};

use super::sample::{Distortion, ProfileTap, Quantized, Sample};

const META: &str = "sample.json";
const VALUES: &str = "values.f32";
const PROFILE: &str = "profile.sbp";

#[derive(Serialize, Deserialize)]
struct Meta {
    name: String,
    shape: Vec<usize>,
    given_bytes: usize,
    wavelet: String,
    levels: u8,
    nonnegative: bool,
    /// Of codings without a profile: with one, they are in it.
    step: f32,
    profile: bool,
    transformed: QuantizedMeta,
    plain: QuantizedMeta,
    zfp_tolerance: Option<f64>,
}

#[derive(Serialize, Deserialize)]
struct QuantizedMeta {
    kind: String,
    steps: String,
    /// Number of indices, none where they are too large.
    indices: Option<usize>,
    bits: u32,
    rows: usize,
    columns: usize,
    error: Distortion,
}

impl Sample {
    /// Writes the sample to a folder that is there.
    pub fn store(&self, folder: &Path) -> Result<()> {
        let write = |name: &str, bytes: &[u8]| {
            fs::write(folder.join(name), bytes).with_context(|| format!("cannot write {}", folder.join(name).display()))
        };
        let quantized = |quantized: &Quantized, name: &str| -> Result<QuantizedMeta> {
            write(name, bytemuck::cast_slice(quantized.indices.as_deref().unwrap_or_default()))?;
            Ok(QuantizedMeta {
                kind: quantized.kind.clone(),
                steps: quantized.steps.clone(),
                indices: quantized.indices.as_ref().map(Vec::len),
                bits: quantized.layout.width.bits(),
                rows: quantized.layout.rows,
                columns: quantized.layout.columns,
                error: quantized.error,
            })
        };
        let meta = Meta {
            name: self.name.clone(),
            shape: self.shape.clone(),
            given_bytes: self.given_bytes,
            wavelet: self.coding.wavelet.to_string(),
            levels: self.coding.levels,
            nonnegative: self.coding.nonnegative,
            step: self.plain_step,
            profile: self.tap.is_some(),
            transformed: quantized(&self.transformed, "transformed.i16")?,
            plain: quantized(&self.plain, "plain.i16")?,
            zfp_tolerance: self.zfp_tolerance.get().copied(),
        };
        write(VALUES, bytemuck::cast_slice(&self.values))?;
        if let Some(tap) = &self.tap {
            write(PROFILE, &tap.profile.to_bytes())?;
        }
        write(META, &serde_json::to_vec(&meta)?)
    }

    /// Reads what [`store`](Self::store) wrote, without any buffer besides: what is freed would hide memory that a coder takes.
    pub fn load(folder: &Path) -> Result<Self> {
        let meta: Meta = serde_json::from_slice(&fs::read(folder.join(META))?)?;
        let mut values = vec![0f32; meta.shape.iter().product()];
        fill(&folder.join(VALUES), bytemuck::cast_slice_mut(&mut values))?;
        let quantized = |meta: QuantizedMeta, name: &str| -> Result<Quantized> {
            let mut indices = meta.indices.map(|count| vec![0i16; count]);
            if let Some(indices) = &mut indices {
                fill(&folder.join(name), bytemuck::cast_slice_mut(indices))?;
            }
            let width = if meta.bits == 8 { Width::Eight } else { Width::Sixteen };
            let layout = Layout { width, rows: meta.rows, columns: meta.columns };
            Ok(Quantized { kind: meta.kind, steps: meta.steps, indices, layout, error: meta.error })
        };
        let tap = match meta.profile {
            true => {
                let profile = Profile::from_bytes(&fs::read(folder.join(PROFILE))?, &Limits::default())?;
                Some(ProfileTap { profile, name: meta.name.clone() })
            }
            false => None,
        };
        let coding = match &tap {
            Some(tap) => tap.profile.tap(&tap.name)?.coding().clone(),
            None => Coding::new(meta.wavelet.parse()?, meta.levels, Steps::Uniform(meta.step))
                .with_nonnegative(meta.nonnegative),
        };
        Ok(Self {
            name: meta.name,
            shape: meta.shape,
            values,
            given_bytes: meta.given_bytes,
            coding,
            tap,
            transformed: quantized(meta.transformed, "transformed.i16")?,
            plain: quantized(meta.plain, "plain.i16")?,
            plain_step: meta.step,
            zfp_tolerance: meta.zfp_tolerance.map_or_else(OnceLock::new, OnceLock::from),
        })
    }
}

fn fill(path: &Path, bytes: &mut [u8]) -> Result<()> {
    let failed = || format!("cannot read {}", path.display());
    File::open(path).and_then(|mut file| file.read_exact(bytes)).with_context(failed)
}
