use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use subband::Profile;

use super::config::TrainConfig;
use super::metrics::{self, EpochMetrics};
use super::optimizer::Sgd;
use super::run::Partial;
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
    /// How far the next epoch has come, where a checkpoint was kept within it.
    pub partial: Option<Partial>,
}

const PARAMETERS: &str = "model.";
const VELOCITY: &str = "velocity.";
const CODEC: &str = "codec.";
const PARTIAL: &str = "partial";

impl RunFolder {
    /// Creates the folder with the configuration in it, or checks that the one there is of the same configuration.
    ///
    /// # Errors
    /// `Checkpoint` where the folder belongs to a run of another configuration, naming both values of every field that
    /// differs.
    pub fn open<C>(path: &Path, config: &C) -> Result<Self>
    where
        C: Serialize + DeserializeOwned + PartialEq,
    {
        std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))?;
        let folder = Self { path: path.to_path_buf() };
        let file = folder.config_file();
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let there: C = toml::from_str(&text)
                    .map_err(|e| Error::checkpoint(format!("{}: {}", file.display(), e.message())))?;
                if there != *config {
                    return Err(Error::checkpoint(format!(
                        "{} holds a run of another configuration ({}); use another folder, or remove it",
                        path.display(),
                        differences(&there, config)
                    )));
                }
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                // Without its configuration nobody knows what the checkpoint is a checkpoint of.
                if folder.last_file().exists() {
                    return Err(Error::checkpoint(format!(
                        "{} holds a checkpoint but no config.toml; use another folder, or remove it",
                        path.display()
                    )));
                }
                write_atomically(&file, config_text(config)?.as_bytes())?;
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
        state.epochs = metrics::from_text(epochs).map_err(damaged)?;
        let partial = tensors.metadata(PARTIAL).map(toml::from_str).transpose();
        state.partial = partial.map_err(|e| damaged(Error::checkpoint(e.message())))?;
        let velocity = tensors.split_prefix(VELOCITY);
        let parameters = tensors.split_prefix(PARAMETERS);
        let device = state.network.device().clone();
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
        let is_best = state
            .epochs
            .split_last()
            .is_some_and(|(last, before)| before.iter().all(|m| last.objective() < m.objective()));
        if is_best {
            parameters.write(&self.best_file(), &[])?;
            if let Some(profile) = profile {
                write_atomically(&self.best_file().with_extension("sbp"), &profile.to_bytes())?;
            }
        }
        metrics::write_csv(&self.path.join("metrics.csv"), &state.epochs)?;
        self.write_last(state, &parameters, None)
    }

    /// Writes the state within an epoch.
    pub fn save_within(&self, state: &State, partial: &Partial) -> Result<()> {
        self.write_last(state, &state.network.to_tensors(), Some(partial))
    }

    fn write_last(&self, state: &State, parameters: &TensorMap, partial: Option<&Partial>) -> Result<()> {
        let mut codec = TensorMap::default();
        if let Some(layers) = &state.codec {
            layers.save(&mut codec);
        }
        let mut all = TensorMap::default();
        for (prefix, map) in [(PARAMETERS, parameters), (VELOCITY, &state.optimizer.state()), (CODEC, &codec)] {
            for (name, array) in map.iter() {
                all.insert(format!("{prefix}{name}"), array.shape.clone(), array.values.clone());
            }
        }
        let mut metadata = vec![("epochs", metrics::to_text(&state.epochs)?)];
        if let Some(partial) = partial {
            let text = toml::to_string(partial).map_err(|e| Error::checkpoint(format!("progress: {e}")))?;
            metadata.push((PARTIAL, text));
        }
        all.write(&self.last_file(), &metadata)
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
        self.path.join("config.toml")
    }
}

/// A configuration as its run folder keeps it; it can be given to another run as it is.
fn config_text(config: &impl Serialize) -> Result<String> {
    let fields = toml::to_string_pretty(config).map_err(|e| Error::argument(format!("configuration: {e}")))?;
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!("# The whole configuration of this run, made by subband {version}; --config takes it.\n\n{fields}"))
}

/// Every field in which two configurations differ, with both values.
fn differences(there: &impl Serialize, here: &impl Serialize) -> String {
    let (there, here) = (dotted_fields(there), dotted_fields(here));
    let names: BTreeSet<_> = there.keys().chain(here.keys()).collect();
    let value = |fields: &BTreeMap<String, toml::Value>, name| {
        fields.get(name).map_or_else(|| "not set".to_string(), ToString::to_string)
    };
    let differing = names.into_iter().filter(|&name| there.get(name) != here.get(name));
    let texts =
        differing.map(|name| format!("{name} is {} there and {} here", value(&there, name), value(&here, name)));
    texts.collect::<Vec<_>>().join(", ")
}

/// The fields of a configuration under names such as `schedule.kind`.
fn dotted_fields(config: &impl Serialize) -> BTreeMap<String, toml::Value> {
    fn collect(prefix: &str, table: toml::Table, fields: &mut BTreeMap<String, toml::Value>) {
        for (name, value) in table {
            let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(table) => collect(&name, table, fields),
                value => {
                    fields.insert(name, value);
                }
            }
        }
    }
    let mut fields = BTreeMap::new();
    collect("", toml::Table::try_from(config).unwrap_or_default(), &mut fields);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::train::Schedule;

    #[test]
    fn a_folder_keeps_the_configuration_in_full() {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig::default().with_seed(7);
        RunFolder::open(folder.path(), &config).unwrap();
        let text = std::fs::read_to_string(folder.path().join("config.toml")).unwrap();
        assert!(text.starts_with("# The whole configuration"), "{text}");
        let fields = dotted_fields(&config);
        assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config);
        assert!(fields.keys().all(|name| text.contains(name.rsplit('.').next().unwrap())), "{text}");
        RunFolder::open(folder.path(), &config).unwrap();
    }

    #[test]
    fn every_difference_is_named() {
        let folder = tempfile::tempdir().unwrap();
        RunFolder::open(folder.path(), &TrainConfig::default()).unwrap();
        let schedule = Schedule::Cosine { warmup_epochs: 2.0 };
        let other = TrainConfig { schedule, limit: Some(500), ..TrainConfig::default() };
        let error = RunFolder::open(folder.path(), &other).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        let differences = "(limit is \"none\" there and 500 here, schedule.cycles is 1 there and not set here, \
                           schedule.decay is 0.5 there and not set here, schedule.kind is \"one-cycle\" there and \
                           \"cosine\" here, schedule.peak_at is 0.25 there and not set here, schedule.warmup_epochs \
                           is not set there and 2.0 here)";
        assert!(error.to_string().contains(differences), "{error}");
    }

    #[test]
    fn a_folder_of_something_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "lambda = 0.6\n").unwrap();
        let error = RunFolder::open(folder.path(), &TrainConfig::default()).err().unwrap().to_string();
        assert!(error.contains("config.toml") && error.contains("unknown field `lambda`"), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(folder.path().join("last.safetensors"), b"").unwrap();
        let error = RunFolder::open(folder.path(), &TrainConfig::default()).err().unwrap().to_string();
        assert!(error.contains("no config.toml"), "{error}");
    }
}
