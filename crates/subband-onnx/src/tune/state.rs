use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// TOML, whose floats come back bit for bit.
const FILE: &str = "tune.toml";

/// Every measurement that is done, by name, on disk after each: what is interrupted goes on behind the last one.
#[derive(Debug)]
pub(super) struct State {
    path: Option<PathBuf>,
    content: Content,
    changed: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Content {
    /// What the measurements are of: model, inputs and settings.
    of: String,
    measurements: BTreeMap<String, toml::Value>,
}

impl State {
    /// The state in `folder`, which is made where there is none; without a folder it lives as long as the process.
    ///
    /// # Errors
    /// `Io`; `InvalidArgument` for a folder of another tuning; `Data` for a file that is none of ours.
    pub fn open(folder: Option<&Path>, of: String) -> Result<Self> {
        let fresh = Content { of, measurements: BTreeMap::new() };
        let Some(folder) = folder else { return Ok(Self { path: None, content: fresh, changed: 0 }) };
        std::fs::create_dir_all(folder).map_err(|e| Error::io("make", folder, e))?;
        let path = folder.join(FILE);
        let content = match std::fs::read_to_string(&path) {
            Ok(text) => {
                let found: Content = toml::from_str(&text)
                    .map_err(|e| Error::data(format!("{} is no state of a tuning: {e}", path.display())))?;
                if found.of != fresh.of {
                    return Err(Error::argument(format!(
                        "{} is of another tuning: name another folder, or the same model, inputs and settings ({} there, \
                         {} here)",
                        folder.display(),
                        found.of,
                        fresh.of
                    )));
                }
                found
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => fresh,
            Err(e) => return Err(Error::io("read", &path, e)),
        };
        Ok(Self { path: Some(path), content, changed: 0 })
    }

    /// What was measured under `name`, else what `measure` measures now.
    pub fn or_measure<T: Serialize + DeserializeOwned>(
        &mut self,
        name: &str,
        measure: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        if let Some(known) = self.known(name)? {
            return Ok(known);
        }
        let found = measure()?;
        self.put(name, &found)?;
        Ok(found)
    }

    /// What was measured under `name`.
    pub fn known<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let known = self.content.measurements.get(name);
        let read = |value: &toml::Value| {
            T::deserialize(value.clone())
                .map_err(|e| Error::data(format!("the state of the tuning is damaged at {name}: {e}")))
        };
        known.map(read).transpose()
    }

    /// Keeps a measurement.
    pub fn put<T: Serialize>(&mut self, name: &str, found: &T) -> Result<()> {
        let value = toml::Value::try_from(found).map_err(|e| Error::data(format!("{name}: {e}")))?;
        self.content.measurements.insert(name.to_owned(), value);
        self.changed += 1;
        self.write()
    }

    /// How many measurements this process added.
    #[cfg(test)]
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// Beside the file and renamed over it: a reader sees the old one or the new one. It is not synchronised; after a power
    /// cut some measurements may have to be made again.
    fn write(&self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let fail = |e: &dyn std::fmt::Display| Error::io("write", path, e);
        let bytes = toml::to_string(&self.content).map_err(|e| fail(&e))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".subband-");
        // Temporary files are private; what stays has the usual mode of new files.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(|e| fail(&e))?;
        std::fs::write(file.path(), bytes).map_err(|e| fail(&e))?;
        file.persist(path).map_err(|e| fail(&e.error))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_not_measured_again() {
        let folder = tempfile::tempdir().unwrap();
        let open = |of: &str| State::open(Some(folder.path()), of.into());
        let number = 0.1f64 + 0.2;
        let mut state = open("a").unwrap();
        assert_eq!(state.or_measure("x", || Ok(number)).unwrap(), number);
        assert_eq!(state.changed(), 1);
        drop(state);
        let mut state = open("a").unwrap();
        assert_eq!(state.or_measure("x", || -> Result<f64> { panic!("measured twice") }).unwrap(), number);
        assert_eq!((state.changed(), state.known::<f64>("y").unwrap()), (0, None));
        assert!(open("b").unwrap_err().to_string().contains("another tuning"));
        std::fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(open("a").unwrap_err().to_string().contains("no state"));
    }
}
