//! What made a page: the command, the versions, the hashes of what went in.

use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The command and the version, then what else went in.
pub fn provenance(more: impl IntoIterator<Item = (&'static str, String)>) -> Vec<(String, String)> {
    let program = [("command", command_line()), ("version", format!("subband {}", env!("CARGO_PKG_VERSION")))];
    program.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The command line of this process as a shell would take it, with the program's bare name.
fn command_line() -> String {
    let arguments = std::env::args_os().skip(1).map(|argument| quoted(&argument.to_string_lossy()));
    std::iter::once("subband".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// In single quotes where a shell would see more than a word.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// SHA-256 of a file, in hexadecimal digits.
pub fn file_hash(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_words_back() {
        assert_eq!(quoted("--limit=3"), "--limit=3");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's here"), r"'it'\''s here'");
        assert_eq!(quoted("$HOME;rm"), "'$HOME;rm'");
    }

    #[test]
    fn the_hash_of_nothing() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(file_hash(empty.path()).unwrap(), expected);
    }
}
