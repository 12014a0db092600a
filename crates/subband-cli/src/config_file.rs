//! Configurations in layers: the defaults, over them a TOML file, over that the command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::map::Entry;
use toml::{Table, Value};

use crate::args;

/// The key that says which other keys its table has, as serde's `tag = "kind"` has it.
const KIND: &str = "kind";

/// What every command with a configuration takes, beside flags for single fields.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// Configuration in TOML, such as the config.toml of another run; what it leaves out keeps its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Set any field of the configuration, over the file: a dotted key and a TOML value; can be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    assignments: Vec<Assignment>,
}

impl ConfigArgs {
    /// The configuration asked for; `flags` are the fields with a flag of their own.
    pub fn resolve<T>(&self, mut flags: Overrides) -> Result<T>
    where
        T: Serialize + DeserializeOwned + Default,
    {
        for Assignment { key, value } in &self.assignments {
            flags.insert(key, value.clone())?;
        }
        layered(self.config.as_deref(), flags.table())
    }
}

/// Fields that the command line sets, by dotted key.
#[derive(Debug, Default)]
pub struct Overrides(Table);

impl Overrides {
    /// Sets the field `key`, such as `schedule.kind`, where there is a `value`.
    ///
    /// # Errors
    /// A usage error where the command line has set it already, or where TOML cannot hold the value.
    pub fn set(&mut self, key: &str, value: Option<impl Serialize>) -> Result<()> {
        let Some(value) = value else { return Ok(()) };
        let value = Value::try_from(value).map_err(|e| args::usage(format!("{key}: {e}")))?;
        self.insert(key, value)
    }

    /// The fields as nested tables.
    pub fn table(&self) -> &Table {
        &self.0
    }

    fn insert(&mut self, key: &str, value: Value) -> Result<()> {
        let twice = || args::usage(format!("{key} is set twice on the command line"));
        let (tables, name) = key.rsplit_once('.').unwrap_or(("", key));
        let mut table = &mut self.0;
        for part in tables.split('.').filter(|part| !part.is_empty()) {
            let entry = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().ok_or_else(twice)?;
        }
        match table.entry(name) {
            Entry::Vacant(entry) => entry.insert(value),
            Entry::Occupied(_) => return Err(twice()),
        };
        Ok(())
    }
}

/// `KEY=VALUE` as the user writes it.
#[derive(Clone, Debug, PartialEq)]
struct Assignment {
    key: String,
    value: Value,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("a field is set by KEY=VALUE, as schedule.peak_at=0.3")?;
        let (key, value) = (key.trim(), value.trim());
        if key.split('.').any(str::is_empty) {
            return Err(format!("`{key}` is no key: keys look like epochs or schedule.peak_at"));
        }
        if value.is_empty() {
            return Err(format!("{key} has no value"));
        }
        // Quotes around text would have to survive the shell too; text without them is no other TOML value.
        let value = value.parse().unwrap_or_else(|_| Value::String(value.to_owned()));
        Ok(Self { key: key.to_owned(), value })
    }
}

/// `T`'s defaults, over them the TOML file where there is one, over that `overrides`.
///
/// Tables are merged key by key, arrays and all else replaced. A table whose `kind` changes is replaced too, since its
/// other keys belong to the old kind. `T` should refuse unknown fields (`#[serde(deny_unknown_fields)]`) and print all
/// that it has: an option that serde skips is known to the file and the overrides all the same.
///
/// # Errors
/// A file that cannot be read. Usage errors, each with the file or `command line`, the key and what is allowed: text that
/// is not TOML, unknown keys, values of another type.
pub fn layered<T>(file: Option<&Path>, overrides: &Table) -> Result<T>
where
    T: Serialize + DeserializeOwned + Default,
{
    let mut table = Table::try_from(T::default()).context("the default configuration")?;
    if let Some(file) = file {
        merge(&mut table, &read(file)?);
        // Read once before the overrides, so that an error names the layer it comes from.
        typed::<T>(&table, &file.display().to_string())?;
    }
    merge(&mut table, overrides);
    typed(&table, "command line")
}

fn read(file: &Path) -> Result<Table> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    toml::from_str(&text).map_err(|e: toml::de::Error| {
        let start = e.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|&byte| byte == b'\n').count();
        args::usage(format!("{}, line {line}: {}", file.display(), e.message()))
    })
}

fn typed<T: DeserializeOwned>(table: &Table, layer: &str) -> Result<T> {
    // The error's text has the path of the key on a line of its own; main() makes one line of it.
    T::deserialize(table.clone()).map_err(|e| args::usage(format!("{layer}: {}", e.to_string().trim_end())))
}

fn merge(table: &mut Table, over: &Table) {
    for (key, value) in over {
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(over)) if same_kind(below, over) => merge(below, over),
            _ => {
                table.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Whether `over` leaves the kind of `below` as it is.
fn same_kind(below: &Table, over: &Table) -> bool {
    over.get(KIND).is_none_or(|kind| below.get(KIND) == Some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Config {
        epochs: usize,
        rate: f64,
        schedule: Schedule,
        codec: Codec,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
    enum Schedule {
        Cycle { peak: f64 },
        Step { milestones: Vec<usize> },
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Codec {
        wavelet: String,
        levels: u8,
    }

    impl Default for Config {
        fn default() -> Self {
            let codec = Codec { wavelet: "haar".into(), levels: 3 };
            Self { epochs: 12, rate: 0.2, schedule: Schedule::Cycle { peak: 0.25 }, codec }
        }
    }

    /// Resolves a file of this text under these `--set` flags; the error in one line.
    fn resolve(text: &str, flags: &[&str]) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("run.toml");
        fs::write(&file, text).unwrap();
        let assignments = flags.iter().map(|flag| flag.parse().unwrap()).collect();
        let args = ConfigArgs { config: Some(file), assignments };
        args.resolve(Overrides::default()).map_err(|e| {
            assert!(e.is::<args::UsageError>());
            e.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn flags_go_over_the_file_and_the_file_over_the_defaults() {
        let config = resolve(
            "epochs = 40\nrate = 1\n[codec]\nlevels = 2",
            &["epochs = 60", "codec.wavelet=db2", "schedule.peak=0.5"],
        );
        let codec = Codec { wavelet: "db2".into(), levels: 2 };
        let schedule = Schedule::Cycle { peak: 0.5 };
        assert_eq!(config.unwrap(), Config { epochs: 60, rate: 1.0, schedule, codec });
        assert_eq!(layered::<Config>(None, &Table::new()).unwrap(), Config::default());
    }

    #[test]
    fn another_kind_brings_its_own_keys() {
        let step = Schedule::Step { milestones: vec![3, 5] };
        let file = "[schedule]\nkind = \"step\"\nmilestones = [3, 5]";
        assert_eq!(resolve(file, &[]).unwrap().schedule, step);
        assert_eq!(resolve("", &["schedule.kind=step", "schedule.milestones=[3, 5]"]).unwrap().schedule, step);
        let same = resolve(file, &["schedule.kind=step", "schedule.milestones=[4]"]).unwrap();
        assert_eq!(same.schedule, Schedule::Step { milestones: vec![4] });
        let cycle = resolve(file, &[r#"schedule={kind = "cycle", peak = 0.5}"#]).unwrap();
        assert_eq!(cycle.schedule, Schedule::Cycle { peak: 0.5 });
    }

    #[test]
    fn an_error_names_the_layer_the_key_and_what_is_allowed() {
        for (text, flags, layer, message) in [
            ("epoch = 3", &[][..], "run.toml:", "unknown field `epoch`, expected one of `epochs`, `rate`, `schedule`"),
            (
                "[codec]\nlevel = 3",
                &[],
                "run.toml:",
                "unknown field `level`, expected `wavelet` or `levels` in `codec`",
            ),
            ("[schedule]\nkind = \"cosine\"", &[], "run.toml:", "`cosine`, expected `cycle` or `step`"),
            ("epochs = \"many\"", &[], "run.toml:", "invalid type: string \"many\", expected usize in `epochs`"),
            ("rate = 1\nrate = 2", &[], "run.toml, line 2:", "duplicate key"),
            ("rate = 1\n\nepochs = = 2", &[], "run.toml, line 3:", "extra `=`"),
            ("", &["epoch=3"], "command line:", "unknown field `epoch`, expected one of `epochs`"),
            ("", &["codec.levels=300"], "command line:", "expected u8 in `codec.levels`"),
            ("", &["schedule.milestones=[1]"], "command line:", "unknown field `milestones`, expected `peak`"),
            ("", &["epochs=3", "epochs=3"], "", "epochs is set twice on the command line"),
            ("", &["codec.levels=3", "codec=1"], "", "codec is set twice"),
            ("", &["codec=1", "codec.levels=3"], "", "codec.levels is set twice"),
        ] {
            let error = resolve(text, flags).unwrap_err();
            assert!(error.contains(layer) && error.contains(message), "{error}");
        }
        let error = layered::<Config>(Some(Path::new("missing.toml")), &Table::new()).unwrap_err();
        assert!(error.to_string().contains("cannot read missing.toml") && !error.is::<args::UsageError>());
    }

    #[test]
    fn assignments() {
        let parse = |text: &str| text.parse::<Assignment>();
        let is = |key: &str, value: Value| Ok(Assignment { key: key.into(), value });
        assert_eq!(parse("epochs=3"), is("epochs", Value::Integer(3)));
        assert_eq!(parse("a.b = true"), is("a.b", Value::Boolean(true)));
        assert_eq!(parse("name=db2"), is("name", Value::String("db2".into())));
        assert_eq!(parse("name='a=b'"), is("name", Value::String("a=b".into())));
        for (text, message) in [("epochs", "KEY=VALUE"), ("=3", "no key"), ("a..b=3", "no key"), ("a=", "no value")] {
            assert!(parse(text).unwrap_err().contains(message), "{text}");
        }
    }

    #[test]
    fn flags_that_were_not_given_set_nothing() {
        let mut flags = Overrides::default();
        flags.set("epochs", None::<usize>).unwrap();
        flags.set("codec.levels", Some(1)).unwrap();
        assert_eq!(flags.0.to_string().trim(), "[codec]\nlevels = 1");
        assert!(flags.set("rate", Some(u64::MAX)).unwrap_err().to_string().contains("rate"));
    }
}
