//! What tells this database apart from a copy of it: the machine it runs on and the file it lies in (S4).

use std::fs;
use std::io;
use std::path::Path;

/// Where a database file lies. A restored backup, a clone of a disk or a copied folder differs in at least one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The operating system's machine id; `None` where there is none, as in many containers.
    pub machine: Option<String>,
    /// Device and inode of the file.
    pub file: FileIdentity,
}

/// Device and inode of a file: they change with every copy, never with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileIdentity {
    /// The device's number.
    pub device: u64,
    /// The inode's number on it.
    pub inode: u64,
}

/// Where `systemd` and `dbus` keep the machine's id, in order of preference.
const MACHINE_ID_FILES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// This machine's id, if the operating system has one.
pub fn machine_id() -> Option<String> {
    MACHINE_ID_FILES.iter().find_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned()).filter(|id| !id.is_empty())
    })
}

impl FileIdentity {
    /// Reads it without opening the file: closing a second descriptor would release SQLite's lock on the first.
    pub fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}
