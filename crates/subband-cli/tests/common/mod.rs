//! Runs the binary, and writes and reads tensor files independently of it.

#![allow(dead_code)]

pub mod onnx;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

pub fn subband() -> Command {
    Command::new(env!("CARGO_BIN_EXE_subband"))
}

/// A folder for one test's files.
pub struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Names of everything in the folder, hidden files too.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs the binary in the folder.
    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        let cache = self.path("cache");
        let mut command = subband();
        command.args(args).current_dir(self.0.path()).env("SUBBAND_CACHE", cache).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs the binary, which has to succeed, and gives its standard output.
    pub fn ok<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Calibrates `p.sbp` for the ReLU outputs of `net.onnx` on `in.npy`.
    pub fn calibrate_small(&self, levels: &str) {
        let inputs = ["--model", "net.onnx", "--data", "in.npy"];
        self.ok(&[&["calibrate"], &inputs[..], &["--taps", "relu", "--levels", levels, "-o", "p.sbp"]].concat());
    }

    /// Runs the binary, which has to end with `status` and one line on standard error, and gives that line.
    pub fn fails<S: AsRef<OsStr>>(&self, status: i32, args: &[S]) -> String {
        let output = self.run(args);
        one_error(&output, status)
    }
}

pub fn one_error(output: &Output, status: i32) -> String {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(status), "{line}");
    assert!(line.starts_with("subband: ") && line.ends_with('\n') && line.lines().count() == 1, "{line:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    line
}

/// Runs the binary with `input` on standard input.
pub fn with_input(args: &[&str], input: &[u8]) -> Output {
    let mut child =
        subband().args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// A .npy file of the given type string and shape.
pub fn npy(descr: &str, fortran_order: bool, shape: &[usize], values: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let shape = match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

pub fn npy_f32(shape: &[usize], values: &[f32]) -> Vec<u8> {
    npy("<f4", false, shape, &f32_bytes(values))
}

pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

pub fn bytes_f32(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The values in a .npy file, which has to have the header `npy` would give it.
pub fn npy_values<'a>(bytes: &'a [u8], descr: &str, shape: &[usize]) -> &'a [u8] {
    let header = npy(descr, false, shape, &[]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(",)", ")");
    let length = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(length % 64, 0);
    let squeeze = |text: String| text.split_whitespace().collect::<String>();
    assert_eq!(squeeze(text(&bytes[10..length])), squeeze(text(&header[10..])));
    &bytes[length..]
}

pub fn npz(arrays: &[(&str, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in arrays {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(array).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub fn unzip(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut zip = ZipArchive::new(Cursor::new(bytes)).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut entry = zip.by_index(index).unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (entry.name().unwrap().into_owned(), content)
        })
        .collect()
}

/// A .safetensors file; `tensors` holds name, dtype, shape and bytes.
pub fn safetensors(metadata: &str, tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let mut header = format!("{{\"__metadata__\":{metadata}");
    let mut values: Vec<u8> = Vec::new();
    for (name, dtype, shape, bytes) in tensors {
        let (start, end) = (values.len(), values.len() + bytes.len());
        header +=
            &format!(",\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
        values.extend(bytes);
    }
    header.push('}');
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(values);
    file
}

/// Smooth planes with a few edges, as feature maps have: values from 0 to about 4.
pub fn map(shape: &[usize]) -> Vec<f32> {
    let (h, w) = (shape[shape.len() - 2], shape[shape.len() - 1]);
    (0..shape.iter().product())
        .map(|i| {
            let (x, y, c) = (i % w, i / w % h, i / (w * h));
            let wave = ((x + 3 * c) as f32 * 0.37).sin() + ((y * (c % 4 + 1)) as f32 * 0.21).cos();
            (2.0 * wave + if x > w / 2 { 0.5 } else { 0.0 }).max(0.0)
        })
        .collect()
}

pub fn largest_error(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
