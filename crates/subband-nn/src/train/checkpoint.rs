use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde::Serialize;
use serde::de::DeserializeOwned;
use subband::Profile;

use super::config::TrainConfig;
use super::metrics::{self, EpochMetrics};
use super::optimizer::Sgd;
use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::network::Network;
use crate::retrain::CodecInLoop;
use crate::tensor_map::TensorMap;

/// A folder that holds one run.
pub(crate) struct RunFolder {
    path: PathBuf,
}

/// Where a run stands: the network, the optimizer, the codec if one is in the loop, and the epochs behind it.
///
/// No random state is kept: every stream is derived from the seed, the epoch and the position (see `rng.rs`).
pub(crate) struct State {
    pub network: Network,
    pub optimizer: Sgd,
    pub codec: Option<CodecInLoop>,
    pub epochs: Vec<EpochMetrics>,
}

const PARAMETERS: &str = "model.";
const VELOCITY: &str = "velocity.";
const CODEC: &str = "codec.";

impl RunFolder {
    /// Creates the folder with the configuration in it, or checks that the one there is of the same configuration.
    ///
    /// # Errors
    /// `Checkpoint` where the folder belongs to a run of another configuration, naming both values of the first
    /// field that differs.
    pub fn open<C: Serialize + DeserializeOwned + PartialEq>(path: &Path, config: &C) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        let folder = Self { path: path.to_path_buf() };
        let file = folder.config_file();
        match std::fs::read(&file) {
            Ok(bytes) => {
                let there: RunConfig<C> = serde_json::from_slice(&bytes)
                    .map_err(|e| Error::checkpoint(format!("{}: {e}", file.display())))?;
                if there.config != *config {
                    return Err(Error::checkpoint(format!(
                        "{} holds a run of another configuration ({}); use another folder, or remove it",
                        path.display(),
                        difference(&there.config, config)
                    )));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let run = RunConfig { version: env!("CARGO_PKG_VERSION").into(), config };
                let text =
                    serde_json::to_string_pretty(&run).map_err(|e| Error::argument(format!("configuration: {e}")))?;
                write_atomically(&file, (text + "\n").as_bytes())?;
            }
            Err(e) => return Err(Error::io("read", &file, e)),
        }
        Ok(folder)
    }

    /// Puts the last complete epoch's state into `state`, a fresh one; `false` where the run has not got that far.
    pub fn load(&self, config: &TrainConfig, state: &mut State) -> Result<bool> {
        let path = self.last_file();
        if !path.exists() {
            return Ok(false);
        }
        let damaged = |e: Error| Error::checkpoint(format!("{}: {e}", path.display()));
        let mut tensors = TensorMap::read(&path)?;
        let epochs =
            tensors.metadata("epochs").ok_or_else(|| damaged(Error::checkpoint("not a checkpoint of this program")))?;
        state.epochs = metrics::from_json(epochs).map_err(damaged)?;
        let velocity = tensors.split_prefix(VELOCITY);
        let parameters = tensors.split_prefix(PARAMETERS);
        let device = Device::default().autodiff();
        state.network = Network::from_tensors(config.network, parameters, &device).map_err(damaged)?;
        state.optimizer.load_state(&velocity, &device.without_autodiff()).map_err(damaged)?;
        if let Some(codec) = &mut state.codec {
            codec.load(tensors.split_prefix(CODEC)).map_err(damaged)?;
        }
        Ok(true)
    }

    /// Writes the state after a complete epoch, and the epoch's `profile` if it is the best so far. The checkpoint comes
    /// last: until it is in place, the run stands where it stood before, and the epoch would be repeated with the same
    /// outcome.
    pub fn save(&self, state: &State, profile: Option<&Profile>) -> Result<()> {
        let parameters = state.network.to_tensors();
        let is_best = state.epochs.split_last().is_some_and(|(last, before)| {
            before.iter().all(|m| last.objective() < m.objective())
        });
        if is_best {
            parameters.write(&self.best_file(), &[])?;
            if let Some(profile) = profile {
                write_atomically(&self.best_file().with_extension("sbp"), &profile.to_bytes())?;
            }
        }
        metrics::write_csv(&self.path.join("metrics.csv"), &state.epochs)?;
        let mut codec = TensorMap::default();
        if let Some(layers) = &state.codec {
            layers.save(&mut codec);
        }
        let mut all = TensorMap::default();
        for (prefix, map) in [(PARAMETERS, &parameters), (VELOCITY, &state.optimizer.state()), (CODEC, &codec)] {
            for (name, array) in map.iter() {
                all.insert(format!("{prefix}{name}"), array.shape.clone(), array.values.clone());
            }
        }
        let epochs = metrics::to_json(&state.epochs)?;
        all.write(&self.last_file(), &[("epochs", epochs)])
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub fn best_file(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    fn last_file(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    fn config_file(&self) -> PathBuf {
        self.path.join("config.json")
    }
}

#[derive(Serialize, serde::Deserialize)]
struct RunConfig<C> {
    version: String,
    #[serde(alias = "train")]
    config: C,
}

/// The first field in which two configurations differ, with both values.
fn difference<C: Serialize>(there: &C, wanted: &C) -> String {
    let fields = |config: &C| serde_json::to_value(config).unwrap_or_default();
    let (there, wanted) = (fields(there), fields(wanted));
    let Some(map) = wanted.as_object() else {
        return String::new();
    };
    map.iter()
        .find(|(name, value)| there.get(name) != Some(value))
        .map(|(name, value)| {
            let old = there.get(name).cloned().unwrap_or_default();
            format!("{name} is {old} there and {value} here")
        })
        .unwrap_or_default()
}
