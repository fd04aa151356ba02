//! One process per data folder: two would sign with the same shares and break each other's votes.
//!
//! The lock is the operating system's, so that it is gone with the process however that ends. The file's text only tells whoever
//! comes second who was first.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The lock file's name in the data folder.
pub const FILE_NAME: &str = "flotilla.lock";

/// Longest text read from a foreign lock file.
const HOLDER_BYTES: u64 = 32;

/// Why the folder is not ours.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error(
        "{path} is held by another process{holder}; stop it first, or choose another data folder",
        path = path.display(), holder = process(*holder)
    )]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The other process's id, if its lock file tells.
        holder: Option<u32>,
    },
    /// The file system refused.
    #[error("cannot lock {path}: {source}", path = path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn process(holder: Option<u32>) -> String {
    holder
        .map(|pid| format!(", process {pid}"))
        .unwrap_or_default()
}

/// Holds a data folder until dropped. The file stays: deleting it would let two processes lock two files of one name.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of a data folder.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(FILE_NAME);
        let error = |source| LockError::Io {
            path: path.clone(),
            source,
        };
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let mut file = open.map_err(error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                return Err(LockError::Held { path, holder });
            }
            Err(TryLockError::Error(source)) => return Err(error(source)),
        }
        write_holder(&mut file).map_err(error)?;
        Ok(Self { _file: file })
    }
}

fn read_holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(HOLDER_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn second_holder_is_told_who_is_first_and_gets_it_afterwards() {
        let folder = TempDir::new().unwrap();
        let lock = FolderLock::acquire(folder.path()).unwrap();
        let error = FolderLock::acquire(folder.path()).unwrap_err();
        assert!(
            matches!(error, LockError::Held { holder: Some(pid), .. } if pid == std::process::id())
        );
        assert!(
            error
                .to_string()
                .contains(&format!("process {}", std::process::id()))
        );
        drop(lock);
        FolderLock::acquire(folder.path()).unwrap();
    }

    #[test]
    fn folder_that_does_not_exist_is_named() {
        let folder = TempDir::new().unwrap();
        let error = FolderLock::acquire(&folder.path().join("absent")).unwrap_err();
        assert!(error.to_string().contains("absent"));
    }
}
