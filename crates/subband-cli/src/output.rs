//! Where results go: files that appear whole or not at all, and standard output.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use tempfile::{Builder, NamedTempFile};

/// Temporary files that an interrupt has to remove: it ends the process without running any destructor.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes unfinished files on Ctrl-C, SIGTERM and SIGHUP, then ends with the status a shell gives an interrupt.
pub fn remove_unfinished_on_interrupt() {
    // Without a handler the signal still ends the process and no file under a final name is partial; only the
    // hidden temporary file would be left, which is no reason to refuse to start.
    let _ = ctrlc::set_handler(|| {
        for path in UNFINISHED.lock().unwrap_or_else(|e| e.into_inner()).drain(..) {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        std::process::exit(130);
    });
}

/// A temporary path on the interrupt handler's list for as long as this lives.
pub struct Unfinished(PathBuf);

impl Unfinished {
    pub fn new(path: &Path) -> Self {
        UNFINISHED.lock().unwrap_or_else(|e| e.into_inner()).push(path.to_owned());
        Self(path.to_owned())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        UNFINISHED.lock().unwrap_or_else(|e| e.into_inner()).retain(|path| *path != self.0);
    }
}

/// What `-o` names: a file that takes its name when it is complete, a device written in place, or standard output.
pub struct Output {
    target: Target,
    name: String,
}

enum Target {
    File { writer: BufWriter<NamedTempFile>, path: PathBuf, force: bool, _unfinished: Unfinished },
    Device(BufWriter<File>),
    Stdout(BufWriter<Stdout>),
}

/// Writes a whole file in place of what is there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut output = Output::create(path, true)?;
    output.write_all(bytes).with_context(|| format!("cannot write {}", path.display()))?;
    output.commit()
}

impl Output {
    /// Opens `path` for writing; `-` is standard output.
    ///
    /// An existing file is refused unless `force`; it keeps its content until [`commit`](Self::commit).
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        let name = path.display().to_string();
        let target = Self::open(path, force)?;
        Ok(Self { target, name })
    }

    fn open(path: &Path, force: bool) -> Result<Target> {
        if path.as_os_str() == "-" {
            return Ok(Target::Stdout(BufWriter::new(io::stdout())));
        }
        let name = path.display();
        let mut permissions = default_permissions();
        let mut path = path.to_owned();
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => bail!("{name} is a folder: name a file in it"),
            // A device or a pipe cannot be replaced by a rename, and must not be.
            Ok(metadata) if !metadata.is_file() => {
                let file = File::options().write(true).open(&path).with_context(|| format!("cannot write {name}"))?;
                return Ok(Target::Device(BufWriter::new(file)));
            }
            Ok(_) if !force => bail!("{name} exists: --force overwrites it"),
            Ok(metadata) => {
                // Replace what a symbolic link points to, not the link.
                path = fs::canonicalize(&path).with_context(|| format!("cannot resolve {name}"))?;
                permissions = Some(metadata.permissions());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).with_context(|| format!("cannot write {name}")),
        }
        let mut builder = Builder::new();
        builder.prefix(".subband-").suffix(".tmp");
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let temp = builder.tempfile_in(folder_of(&path)).with_context(|| format!("cannot write {name}"))?;
        let unfinished = Unfinished::new(temp.path());
        Ok(Target::File { writer: BufWriter::new(temp), path, force, _unfinished: unfinished })
    }

    /// Whether this is standard output, where a report has to stay out.
    pub fn is_stdout(&self) -> bool {
        matches!(self.target, Target::Stdout(_))
    }

    /// Makes the written bytes durable and gives them their name.
    pub fn commit(self) -> Result<()> {
        let name = self.name;
        let failed = || format!("cannot write {name}");
        match self.target {
            Target::Stdout(mut writer) => writer.flush().context("cannot write standard output"),
            Target::Device(mut writer) => writer.flush().with_context(failed),
            Target::File { writer, path, force, _unfinished } => {
                let temp = writer.into_inner().map_err(io::IntoInnerError::into_error).with_context(failed)?;
                temp.as_file().sync_all().with_context(failed)?;
                if force {
                    temp.persist(&path).map_err(|e| e.error).with_context(failed)?;
                } else {
                    // The name may have been taken since it was checked; this check and the rename are one step.
                    temp.persist_noclobber(&path).map_err(|e| e.error).with_context(failed)?;
                }
                sync_folder(folder_of(&path));
                Ok(())
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.target {
            Target::File { writer, .. } => writer.write(bytes),
            Target::Device(writer) => writer.write(bytes),
            Target::Stdout(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.target {
            Target::File { writer, .. } => writer.flush(),
            Target::Device(writer) => writer.flush(),
            Target::Stdout(writer) => writer.flush(),
        }
    }
}

/// Prints a report on standard output, or on standard error where standard output carries the data.
pub fn print(text: &str, to_stderr: bool) -> Result<()> {
    if to_stderr {
        let _ = io::stderr().write_all(text.as_bytes());
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("cannot write standard output")
}

/// Says on standard error what the user would not expect. A closed standard error changes nothing.
pub fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "subband: warning: {text}");
}

/// The folder a file lies in, for a bare name the current one.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes a rename in `folder` durable where the system can; where it cannot, the file itself is still whole.
pub fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Temporary files are private by default; results get what the umask leaves of read and write for all.
fn default_permissions() -> Option<Permissions> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        Some(Permissions::from_mode(0o666))
    }
    #[cfg(not(unix))]
    None
}
