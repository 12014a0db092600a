//! The archive: several named streams in one file (FORMAT.md, "Archives").
//!
//! A file of several tensors (`.npz`, `.safetensors`) becomes one archive. The directory comes first and names every
//! stream with its length, so one tensor is read without the others.

use std::collections::HashSet;
use std::io::{self, Write};

use anyhow::{Context, Result, bail, ensure};

pub const MAGIC: [u8; 4] = *b"SBA\x1a";
pub const VERSION: u8 = 1;

/// A read archive; names, texts and streams are slices of the file.
#[derive(Debug, PartialEq)]
pub struct Archive<'a> {
    pub metadata: Vec<(&'a str, &'a str)>,
    pub entries: Vec<Entry<'a>>,
}

#[derive(Debug, PartialEq)]
pub struct Entry<'a> {
    pub name: &'a str,
    pub stream: &'a [u8],
}

impl<'a> Archive<'a> {
    /// Whether `bytes` start as an archive does.
    pub fn matches(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the directory and cuts the file into streams. The streams themselves are not decoded.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { rest: bytes };
        ensure!(reader.take(MAGIC.len())? == MAGIC, "not an archive");
        let version = reader.take(1)?[0];
        ensure!(version == VERSION, "archive version {version} is not supported: this program reads version {VERSION}");

        // Counts are not trusted for allocation: every pair and entry pushed has taken bytes from the input.
        let mut metadata = Vec::new();
        let mut keys = HashSet::new();
        for _ in 0..reader.varint()? {
            let (key, value) = (reader.text()?, reader.text()?);
            ensure!(keys.insert(key), "damaged archive: two texts under the key {key:?}");
            metadata.push((key, value));
        }
        let mut directory = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..reader.varint()? {
            let (name, length) = (reader.text()?, reader.varint()?);
            ensure!(names.insert(name), "damaged archive: two streams are named {name:?}");
            directory.push((name, length));
        }
        let covered = &bytes[..bytes.len() - reader.rest.len()];
        let stored = reader.take(4)?;
        ensure!(stored == crc32fast::hash(covered).to_le_bytes(), "damaged archive: the directory fails its checksum");

        let mut entries = Vec::with_capacity(directory.len());
        for (name, length) in directory {
            let stream = usize::try_from(length).ok().and_then(|length| reader.rest.split_at_checked(length));
            let Some((stream, rest)) = stream else {
                bail!("truncated archive: stream {name:?} takes {length} bytes, {} are left", reader.rest.len());
            };
            reader.rest = rest;
            entries.push(Entry { name, stream });
        }
        ensure!(reader.rest.is_empty(), "damaged archive: {} bytes after the last stream", reader.rest.len());
        Ok(Self { metadata, entries })
    }

    pub fn write_to(&self, output: &mut impl Write) -> io::Result<()> {
        let mut head = Vec::from(MAGIC);
        head.push(VERSION);
        put_varint(&mut head, self.metadata.len());
        for (key, value) in &self.metadata {
            put_text(&mut head, key);
            put_text(&mut head, value);
        }
        put_varint(&mut head, self.entries.len());
        for Entry { name, stream } in &self.entries {
            put_text(&mut head, name);
            put_varint(&mut head, stream.len());
        }
        let checksum = crc32fast::hash(&head);
        output.write_all(&head)?;
        output.write_all(&checksum.to_le_bytes())?;
        self.entries.iter().try_for_each(|entry| output.write_all(entry.stream))
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).with_context(|| {
            format!("truncated archive: the directory needs {length} more bytes, {} are left", self.rest.len())
        })?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            ensure!(bits << shift >> shift == bits, "damaged archive: a number over 64 bits");
            value |= bits << shift;
            if byte < 0x80 {
                ensure!(byte != 0 || shift == 0, "damaged archive: a number not in its shortest form");
                return Ok(value);
            }
        }
        bail!("damaged archive: a number over 64 bits")
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.varint()?;
        let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
        str::from_utf8(bytes).context("damaged archive: a name is not UTF-8")
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_varint(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let archive = Archive {
            metadata: vec![("format", "pt")],
            entries: vec![Entry { name: "a", stream: &[1, 2, 3] }, Entry { name: "layer1.0", stream: &[9; 200] }],
        };
        let mut bytes = Vec::new();
        archive.write_to(&mut bytes).unwrap();
        assert_eq!(Archive::from_bytes(&bytes).unwrap(), archive);
        bytes
    }

    #[test]
    fn hand_worked_bytes() {
        let archive = Archive { metadata: vec![], entries: vec![Entry { name: "x", stream: &[7, 8] }] };
        let mut bytes = Vec::new();
        archive.write_to(&mut bytes).unwrap();
        let head = [b'S', b'B', b'A', 0x1a, 1, 0, 1, 1, b'x', 2];
        let checksum = crc32fast::hash(&head).to_le_bytes();
        assert_eq!(bytes, [&head[..], &checksum, &[7, 8]].concat());
    }

    #[test]
    fn truncation_at_every_byte_is_an_error() {
        let bytes = sample();
        for length in 0..bytes.len() {
            let error = Archive::from_bytes(&bytes[..length]).unwrap_err().to_string();
            assert!(error.contains("truncated"), "{length}: {error}");
        }
        assert!(Archive::from_bytes(&[bytes, vec![0]].concat()).is_err());
    }

    #[test]
    fn every_bit_flip_in_the_directory_is_an_error() {
        let bytes = sample();
        for bit in 0..(bytes.len() - 203) * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Archive::from_bytes(&bytes).is_err(), "bit {bit}");
        }
    }

    /// Directories with a right checksum and wrong content.
    #[test]
    fn hostile_directories_are_errors() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        for (head, message) in [
            (&[0, 2, 1, b'x', 0, 1, b'x', 0][..], "two streams"),
            (&[2, 1, b'k', 0, 1, b'k', 0, 0], "two texts"),
            (&[0, 1, 1, 0xff, 0], "UTF-8"),
            (&[0, 0x81, 0], "shortest"),
            (&[&[0, 1, 1, b'x'], &huge[..]].concat(), "truncated"),
            (&[&[0][..], &huge].concat(), "truncated"),
            (&[&[0, 1][..], &huge].concat(), "truncated"),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], "64 bits"),
            (&[0xff; 11], "64 bits"),
        ] {
            let mut bytes = [&MAGIC[..], &[VERSION], head].concat();
            bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
            let error = Archive::from_bytes(&bytes).unwrap_err().to_string();
            assert!(error.contains(message), "{head:?}: {error}");
        }
        let error = Archive::from_bytes(b"SBA\x1a\x02").unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }
}
