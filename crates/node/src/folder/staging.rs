//! Folders that appear whole or not at all: they are written and synced under a hidden name, and renamed when all is there.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use flotilla_cluster::create::{self, PendingKeystore};
use zeroize::Zeroizing;

use super::files::{self, Overwrite, WriteError};
use super::parallel::{self, Progress};

/// Mode of the folders made, less the umask.
const FOLDER_MODE: u32 = 0o755;

/// A hidden folder in the making. Dropped before [`install`](Self::install), it is removed with everything in it.
#[derive(Debug)]
pub struct Staging {
    target: PathBuf,
    root: PathBuf,
}

impl Staging {
    /// Starts one inside `target`, which is created if need be.
    ///
    /// # Errors
    /// The file system refused.
    pub fn new(target: &Path) -> Result<Self, WriteError> {
        let root = target.join(format!(".flotilla-{}.incomplete", std::process::id()));
        create_folder(target)?;
        match fs::remove_dir_all(&root) {
            // What a crashed process of the same id left behind.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refused(&root, error));
            }
            _ => {}
        }
        create_folder(&root)?;
        Ok(Self {
            target: target.to_owned(),
            root,
        })
    }

    /// Writes a file of the folder `folder`; the folders above it are made. Synced by [`install`](Self::install), all files at once:
    /// that costs a fraction of one after another.
    ///
    /// # Errors
    /// The file system refused.
    pub fn write(&self, folder: &str, file: &create::File) -> Result<(), WriteError> {
        let path = self.root.join(folder).join(&file.path);
        create_folder(path.parent().unwrap_or(&self.root))?;
        files::write_new(&path, &file.bytes, file.mode)
            .map(drop)
            .map_err(|error| refused(&path, error))
    }

    /// Puts everything into `target/NAME` (tar, gzip) instead of installing it; the folders vanish.
    ///
    /// # Errors
    /// The file exists, or the file system refused.
    pub fn archive(self, name: &str) -> Result<PathBuf, WriteError> {
        let path = self.target.join(name);
        let pack = || -> io::Result<Zeroizing<Vec<u8>>> {
            let compressed = GzEncoder::new(Vec::new(), Compression::default());
            let mut archive = tar::Builder::new(compressed);
            for entry in sorted(&self.root)? {
                archive.append_dir_all(&entry, self.root.join(&entry))?;
            }
            Ok(Zeroizing::new(archive.into_inner()?.finish()?))
        };
        let bytes = pack().map_err(|error| refused(&path, error))?;
        files::write_atomic(&path, &bytes, 0o600, Overwrite::Refuse)?;
        Ok(path)
    }

    /// Encrypts keystores on every core and writes each to its folder.
    ///
    /// # Errors
    /// The file system refused.
    pub fn seal(
        &self,
        keystores: &[(&str, &PendingKeystore)],
        progress: Progress<'_>,
    ) -> Result<(), WriteError> {
        let seal = |(folder, keystore): &(&str, &PendingKeystore)| {
            keystore
                .seal()
                .iter()
                .try_for_each(|file| self.write(folder, file))
        };
        // PBKDF2 takes next to no memory, and nothing else is written.
        parallel::for_each(keystores, |_| 0, seal, progress).map(|_| ())
    }

    /// Gives every folder in it its place. An empty folder may be in that place, nothing else.
    ///
    /// # Errors
    /// The file system refused; folders installed before that stay, each whole.
    pub fn install(self) -> Result<(), WriteError> {
        sync_all(&self.root)?;
        for name in sorted(&self.root).map_err(|error| refused(&self.root, error))? {
            let place = self.target.join(&name);
            fs::rename(self.root.join(&name), &place).map_err(|error| match error.kind() {
                io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory => WriteError::Exists {
                    path: place.clone(),
                },
                _ => refused(&place, error),
            })?;
        }
        sync(&self.target)
        // The empty root is removed on drop.
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What remains is hidden, named incomplete, and removed by the next attempt of the same process id at the latest.
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Names in a folder.
fn sorted(folder: &Path) -> io::Result<Vec<OsString>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// Encrypts keystores on every core; in their order, keystore and password.
pub fn seal(keystores: &[&PendingKeystore], progress: Progress<'_>) -> Vec<[create::File; 2]> {
    let seal = |keystore: &&PendingKeystore| Ok::<_, Infallible>(keystore.seal());
    let Ok(sealed) = parallel::for_each(keystores, |_| 0, seal, progress);
    sealed
}

fn create_folder(path: &Path) -> Result<(), WriteError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(path)
        .map_err(|error| refused(path, error))
}

/// Syncs a folder with everything in it: on Linux its whole file system with one call, which for hundreds of small files takes a
/// tenth of the time of one after another.
#[cfg(target_os = "linux")]
fn sync_all(folder: &Path) -> Result<(), WriteError> {
    File::open(folder)
        .and_then(|folder| Ok(rustix::fs::syncfs(folder)?))
        .map_err(|error| refused(folder, error))
}

/// Syncs a folder with everything in it.
#[cfg(not(target_os = "linux"))]
fn sync_all(folder: &Path) -> Result<(), WriteError> {
    for entry in fs::read_dir(folder).map_err(|error| refused(folder, error))? {
        let entry = entry.map_err(|error| refused(folder, error))?;
        match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => sync_all(&entry.path())?,
            false => sync(&entry.path())?,
        }
    }
    sync(folder)
}

fn sync(path: &Path) -> Result<(), WriteError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|error| refused(path, error))
}

fn refused(path: &Path, source: io::Error) -> WriteError {
    WriteError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tempfile::TempDir;
    use zeroize::Zeroizing;

    fn file(path: &str) -> create::File {
        create::File {
            path: path.to_owned(),
            mode: 0o400,
            bytes: Zeroizing::new(b"content".to_vec()),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn folders_appear_whole() {
        let target = TempDir::new().unwrap();
        fs::create_dir(target.path().join("node1")).unwrap();
        let staging = Staging::new(target.path()).unwrap();
        staging.write("node0", &file("a")).unwrap();
        staging.write("node1", &file("keys/b")).unwrap();
        assert!(!target.path().join("node0").exists());
        staging.install().unwrap();
        assert_eq!(names(target.path()), ["node0", "node1"]);
        assert_eq!(
            fs::read(target.path().join("node1/keys/b")).unwrap(),
            b"content"
        );
    }

    #[test]
    fn what_is_abandoned_leaves_nothing() {
        let target = TempDir::new().unwrap();
        let staging = Staging::new(target.path()).unwrap();
        staging.write("node0", &file("a")).unwrap();
        drop(staging);
        assert_eq!(names(target.path()), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_overwritten() {
        let target = TempDir::new().unwrap();
        fs::create_dir(target.path().join("node0")).unwrap();
        fs::write(target.path().join("node0/key"), "mine").unwrap();
        let staging = Staging::new(target.path()).unwrap();
        staging.write("node0", &file("a")).unwrap();
        let error = staging.install().unwrap_err();
        assert!(matches!(error, WriteError::Exists { .. }), "{error}");
        assert_eq!(names(target.path()), ["node0"]);
        assert_eq!(names(&target.path().join("node0")), ["key"]);
    }
}
