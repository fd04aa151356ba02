//! Reading with a next step in the error, and writing so that a crash leaves the old file or the new one, never half of either.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{FolderError, Warning};

/// Largest file read, beyond any lock of real clusters.
const LIMIT_BYTES: u64 = flotilla_cluster::MAX_FILE_BYTES as u64;

/// Reads a whole file of bounded size.
pub fn read(path: &Path, hint: &'static str) -> Result<Vec<u8>, FolderError> {
    let error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => FolderError::Missing {
            path: path.to_owned(),
            hint,
        },
        _ => FolderError::Read {
            path: path.to_owned(),
            source,
        },
    };
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(error)?
        .take(LIMIT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(error)?;
    if bytes.len() as u64 > LIMIT_BYTES {
        return Err(FolderError::TooLarge {
            path: path.to_owned(),
            limit: LIMIT_BYTES,
        });
    }
    Ok(bytes)
}

/// Reads a secret's text, cleared on drop.
pub fn read_secret(path: &Path, hint: &'static str) -> Result<Zeroizing<String>, FolderError> {
    let bytes = Zeroizing::new(read(path, hint)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| FolderError::Read {
        path: path.to_owned(),
        source: io::Error::other("the file is not text"),
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Whether others on this machine can read a secret.
pub fn check_private(path: &Path) -> Option<Warning> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| Warning::ReadableByOthers {
        path: path.to_owned(),
        mode,
    })
}

/// What to do when the file is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// An error; the file stays as it is.
    Refuse,
    /// The new one takes its place.
    Replace,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It is there already.
    #[error("{path} exists already; move it away first", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Writes a file under a temporary name, syncs it, gives it its name and syncs the folder. `mode` is the permission bits.
pub fn write_atomic(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    overwrite: Overwrite,
) -> Result<(), WriteError> {
    let error = |source| WriteError::Io {
        path: path.to_owned(),
        source,
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = path
        .file_name()
        .ok_or_else(|| error(io::Error::other("the path has no file name")))?;
    let temporary = folder.join(format!(
        ".{}.{}.tmp",
        name.to_string_lossy(),
        std::process::id()
    ));
    let result = write_new(&temporary, bytes, mode)
        .and_then(|file| file.sync_all())
        .map_err(error)
        .and_then(|()| install(&temporary, path, overwrite));
    if result.is_err() {
        // It may not exist; the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    result?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(error)
}

/// Writes a file that is not synced yet.
pub(super) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<File> {
    // What a crashed process of the same id left behind.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(bytes)?;
    // The umask may have taken bits away when the file was created.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn install(temporary: &Path, path: &Path, overwrite: Overwrite) -> Result<(), WriteError> {
    let error = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists {
            path: path.to_owned(),
        },
        _ => WriteError::Io {
            path: path.to_owned(),
            source,
        },
    };
    match overwrite {
        Overwrite::Replace => fs::rename(temporary, path).map_err(error),
        // A link, unlike a rename, fails if the name is taken, however many processes try at once.
        Overwrite::Refuse => match fs::hard_link(temporary, path) {
            Ok(()) => fs::remove_file(temporary).map_err(error),
            Err(source) if has_no_links(&source) => {
                install_without_links(temporary, path).map_err(error)
            }
            Err(source) => Err(error(source)),
        },
    }
}

/// Some file systems, such as exFAT, have no hard links.
fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

fn install_without_links(temporary: &Path, path: &Path) -> io::Result<()> {
    match path.try_exists()? {
        true => Err(io::ErrorKind::AlreadyExists.into()),
        false => fs::rename(temporary, path),
    }
}
