//! The log of own votes (S3): a restarted node that forgot its votes, together with f liars, can break agreement.
//!
//! Every own PREPARE, COMMIT and prepared certificate is appended before it is sent. No sync is needed: what `write` has handed
//! to the kernel survives the death of the process, and whatever does not survive (a crash of the machine) is noticed by the
//! kernel's boot id in the log's header. The log is then empty, and instances of duties that were due before
//! [`complete_since`](Opened::complete_since) are to be listened to only.
//!
//! A record is bytes with a deadline; what the bytes say is `wire`'s business. Records lie in segments, and a segment whose last
//! deadline has passed is deleted, so the log stays as small as the duties in flight.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flotilla_types::Timestamp;

/// The folder of the log's segments, in the data folder.
pub const FOLDER_NAME: &str = "votes";

/// A new segment begins when the current one has grown to this.
const SEGMENT_BYTES: u64 = 1 << 20;

/// All segments together; a cluster of a thousand validators writes about 1 MiB an epoch.
const TOTAL_BYTES: u64 = 256 << 20;

/// One record at most: a prepared certificate with the largest value an agreement message may carry.
pub const RECORD_LIMIT: usize = 64 << 20;

/// A segment is not kept open longer than this, so that an idle log can shrink.
const SEGMENT_AGE: Duration = Duration::from_secs(600);

const MAGIC: &[u8; 8] = b"FLOTVOT1";

/// Magic, boot id, `complete_since`.
const HEADER_BYTES: usize = 8 + BOOT_ID_BYTES + 8;

/// Length of the boot id as Linux prints it.
const BOOT_ID_BYTES: usize = 36;

/// Length and deadline before each record's bytes.
const PREFIX_BYTES: usize = 4 + 8;

/// Which boot of the machine this is: a text that changes with every boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootId([u8; BOOT_ID_BYTES]);

impl BootId {
    /// The running kernel's.
    pub fn current() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Self::parse(text.trim()).ok_or_else(|| {
            io::Error::other(format!("boot id {:?} has an unknown form", text.trim()))
        })
    }

    /// From the kernel's text form.
    pub fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }
}

/// Why a vote cannot be logged. It must not be sent then.
#[derive(Debug, thiserror::Error)]
pub enum VoteLogError {
    /// The file system refused.
    #[error("vote log {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record is larger than [`RECORD_LIMIT`].
    #[error("a vote record has {bytes} bytes, at most {RECORD_LIMIT} are allowed")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// All segments together have reached their bound.
    #[error("the vote log has reached its bound of {TOTAL_BYTES} bytes")]
    Full,
}

/// An open vote log. One process at a time: the data folder's lock sees to it.
#[derive(Debug)]
pub struct VoteLog {
    folder: PathBuf,
    boot: BootId,
    complete_since: Timestamp,
    next_number: u64,
    /// Earlier segments, oldest first.
    closed: Vec<Segment>,
    current: Option<Current>,
}

/// What was found on opening.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The log knows every vote of duties that are due at this instant or later. Instances of earlier duties must not vote.
    pub complete_since: Timestamp,
    /// The records whose deadline has not passed, in the order of writing. Empty after a boot.
    pub records: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    bytes: u64,
    /// When its last record expires.
    deadline: Timestamp,
}

#[derive(Debug)]
struct Current {
    file: File,
    segment: Segment,
    started: Timestamp,
}

impl VoteLog {
    /// Opens the log in a data folder. Segments of another boot, or that are no segments, are deleted.
    pub fn open(
        data_folder: &Path,
        boot: BootId,
        now: Timestamp,
    ) -> Result<(Self, Opened), VoteLogError> {
        let folder = data_folder.join(FOLDER_NAME);
        fs::create_dir_all(&folder).map_err(|source| VoteLogError::Io {
            path: folder.clone(),
            source,
        })?;
        let mut log = Self {
            folder,
            boot,
            complete_since: now,
            next_number: 0,
            closed: Vec::new(),
            current: None,
        };
        let mut records = Vec::new();
        let mut found = false;
        for (number, path) in log.segments()? {
            log.next_number = number + 1;
            let bytes = fs::read(&path).map_err(|source| VoteLogError::Io {
                path: path.clone(),
                source,
            })?;
            match read_segment(&bytes, &log.boot) {
                Some(segment) => {
                    // All segments of a boot carry the same instant.
                    log.complete_since = if found {
                        log.complete_since.max(segment.complete_since)
                    } else {
                        segment.complete_since
                    };
                    found = true;
                    let deadline = segment
                        .records
                        .iter()
                        .map(|(deadline, _)| *deadline)
                        .max()
                        .unwrap_or_default();
                    let live = segment
                        .records
                        .into_iter()
                        .filter(|(deadline, _)| *deadline >= now);
                    records.extend(live.map(|(_, record)| record));
                    log.closed.push(Segment {
                        path,
                        bytes: bytes.len() as u64,
                        deadline,
                    });
                }
                None => remove(&path)?,
            }
        }
        // The header of this segment carries the boot and `complete_since` on, even if no vote follows.
        log.begin(now)?;
        log.sweep(now)?;
        let complete_since = log.complete_since;
        Ok((
            log,
            Opened {
                complete_since,
                records,
            },
        ))
    }

    /// Appends one record; when this returns without an error, the vote may be sent.
    ///
    /// `deadline` is when the duty ends and nobody asks for its votes any more.
    pub fn append(
        &mut self,
        now: Timestamp,
        deadline: Timestamp,
        record: &[u8],
    ) -> Result<(), VoteLogError> {
        if record.len() > RECORD_LIMIT {
            return Err(VoteLogError::TooLarge {
                bytes: record.len(),
            });
        }
        if self.wants_rotation(now) {
            self.rotate(now)?;
        }
        if self.bytes() + (PREFIX_BYTES + record.len()) as u64 > TOTAL_BYTES {
            return Err(VoteLogError::Full);
        }
        let current = match &mut self.current {
            Some(current) => current,
            None => self.begin(now)?,
        };
        match current.write(deadline, record) {
            Ok(()) => Ok(()),
            Err(source) => {
                let path = current.segment.path.clone();
                // Half a record must not stand before the next one: cut it off, or leave this segment for good.
                if current.file.set_len(current.segment.bytes).is_err() {
                    self.close_current();
                }
                Err(VoteLogError::Io { path, source })
            }
        }
    }

    /// Bytes on disk, all segments together.
    pub fn bytes(&self) -> u64 {
        let current = self
            .current
            .as_ref()
            .map_or(0, |current| current.segment.bytes);
        self.closed.iter().map(|segment| segment.bytes).sum::<u64>() + current
    }

    fn wants_rotation(&self, now: Timestamp) -> bool {
        self.current.as_ref().is_none_or(|current| {
            let is_old = now.saturating_since(current.started) >= SEGMENT_AGE;
            current.segment.bytes >= SEGMENT_BYTES
                || is_old && current.segment.bytes > HEADER_BYTES as u64
        })
    }

    fn rotate(&mut self, now: Timestamp) -> Result<(), VoteLogError> {
        self.close_current();
        self.begin(now)?;
        self.sweep(now)
    }

    fn close_current(&mut self) {
        self.closed
            .extend(self.current.take().map(|current| current.segment));
    }

    fn begin(&mut self, now: Timestamp) -> Result<&mut Current, VoteLogError> {
        let path = self.folder.join(format!("{:020}.log", self.next_number));
        let error = |source| VoteLogError::Io {
            path: path.clone(),
            source,
        };
        // Append mode: after a torn write has been cut off, the next one goes to the new end.
        let mut file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&path)
            .map_err(error)?;
        self.next_number += 1;
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&self.boot.0);
        header.extend_from_slice(&self.complete_since.as_nanos().to_le_bytes());
        file.write_all(&header).map_err(error)?;
        let segment = Segment {
            path,
            bytes: HEADER_BYTES as u64,
            deadline: Timestamp::default(),
        };
        Ok(self.current.insert(Current {
            file,
            segment,
            started: now,
        }))
    }

    /// Deletes segments all of whose duties have ended.
    fn sweep(&mut self, now: Timestamp) -> Result<(), VoteLogError> {
        let (expired, live) = std::mem::take(&mut self.closed)
            .into_iter()
            .partition(|segment| segment.deadline < now);
        self.closed = live;
        let expired: Vec<Segment> = expired;
        expired.iter().try_for_each(|segment| remove(&segment.path))
    }

    /// Every segment in the folder, by number. Other files are left alone.
    fn segments(&self) -> Result<Vec<(u64, PathBuf)>, VoteLogError> {
        let error = |source| VoteLogError::Io {
            path: self.folder.clone(),
            source,
        };
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(error)? {
            let path = entry.map_err(error)?.path();
            let number = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
            segments.extend(number.map(|number: u64| (number, path)));
        }
        segments.sort();
        Ok(segments)
    }
}

impl Current {
    fn write(&mut self, deadline: Timestamp, record: &[u8]) -> io::Result<()> {
        let length = u32::try_from(record.len()).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(PREFIX_BYTES + record.len());
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend_from_slice(&deadline.as_nanos().to_le_bytes());
        frame.extend_from_slice(record);
        self.file.write_all(&frame)?;
        self.segment.bytes += frame.len() as u64;
        self.segment.deadline = self.segment.deadline.max(deadline);
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), VoteLogError> {
    fs::remove_file(path).map_err(|source| VoteLogError::Io {
        path: path.to_owned(),
        source,
    })
}

/// When a record's duty ends, and its bytes.
type Record = (Timestamp, Vec<u8>);

/// A segment's contents.
#[derive(Debug, PartialEq)]
struct SegmentContents {
    complete_since: Timestamp,
    records: Vec<Record>,
}

/// Reads a segment of this boot; `None` if it is of another one. Half a record at the end is the vote that a dying process did
/// not send, since sending comes after writing.
fn read_segment(bytes: &[u8], boot: &BootId) -> Option<SegmentContents> {
    let rest = bytes.strip_prefix(MAGIC)?.strip_prefix(&boot.0)?;
    let (complete_since, mut rest) = rest.split_first_chunk::<8>()?;
    let mut records = Vec::new();
    while let Some((record, tail)) = read_record(rest) {
        records.push(record);
        rest = tail;
    }
    Some(SegmentContents {
        complete_since: Timestamp::from_nanos(u64::from_le_bytes(*complete_since)),
        records,
    })
}

fn read_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (deadline, rest) = rest.split_first_chunk::<8>()?;
    let (record, rest) =
        rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
    Some((
        (
            Timestamp::from_nanos(u64::from_le_bytes(*deadline)),
            record.to_vec(),
        ),
        rest,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn boot(digit: char) -> BootId {
        BootId::parse(&digit.to_string().repeat(BOOT_ID_BYTES)).unwrap()
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn open(folder: &TempDir, digit: char, now: u64) -> (VoteLog, Opened) {
        VoteLog::open(folder.path(), boot(digit), at(now)).unwrap()
    }

    #[test]
    fn votes_come_back_in_order_after_a_restart_within_one_boot() {
        let folder = TempDir::new().unwrap();
        let (mut log, opened) = open(&folder, '1', 100);
        assert_eq!(
            opened,
            Opened {
                complete_since: at(100),
                records: Vec::new()
            }
        );
        log.append(at(101), at(200), b"prepare").unwrap();
        log.append(at(102), at(150), b"expires").unwrap();
        log.append(at(103), at(200), b"commit").unwrap();
        drop(log);
        for now in [160, 170] {
            let (_, opened) = open(&folder, '1', now);
            let records = vec![b"prepare".to_vec(), b"commit".to_vec()];
            assert_eq!(
                opened,
                Opened {
                    complete_since: at(100),
                    records
                }
            );
        }
    }

    #[test]
    fn another_boot_forgets_the_votes_and_remembers_since_when_across_restarts() {
        let folder = TempDir::new().unwrap();
        open(&folder, '1', 100)
            .0
            .append(at(101), at(900), b"prepare")
            .unwrap();
        let forgotten = Opened {
            complete_since: at(300),
            records: Vec::new(),
        };
        assert_eq!(open(&folder, '2', 300).1, forgotten);
        // What the first process of this boot did not know, the second does not either.
        assert_eq!(open(&folder, '2', 310).1, forgotten);
    }

    #[test]
    fn torn_last_record_is_dropped_and_the_others_kept() {
        let folder = TempDir::new().unwrap();
        let (mut log, _) = open(&folder, '1', 100);
        log.append(at(101), at(900), b"prepare").unwrap();
        log.append(at(101), at(900), b"commit").unwrap();
        let path = log.current.as_ref().unwrap().segment.path.clone();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert_eq!(open(&folder, '1', 102).1.records, vec![b"prepare".to_vec()]);
    }

    #[test]
    fn segments_vanish_once_their_duties_have_ended() {
        let folder = TempDir::new().unwrap();
        let (mut log, _) = open(&folder, '1', 100);
        let record = vec![7; 300_000];
        for second in 0..200 {
            log.append(at(100 + second), at(110 + second), &record)
                .unwrap();
            assert!(log.bytes() < 10 * SEGMENT_BYTES, "{} bytes", log.bytes());
        }
        let on_disk: u64 = fs::read_dir(folder.path().join(FOLDER_NAME))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert_eq!(on_disk, log.bytes());
    }

    #[test]
    fn what_cannot_be_written_is_an_error() {
        let folder = TempDir::new().unwrap();
        let (mut log, _) = open(&folder, '1', 100);
        assert!(matches!(
            log.append(at(100), at(200), &vec![0; RECORD_LIMIT + 1]),
            Err(VoteLogError::TooLarge { .. })
        ));
        log.close_current();
        fs::remove_dir_all(folder.path().join(FOLDER_NAME)).unwrap();
        assert!(matches!(
            log.append(at(100), at(200), b"prepare"),
            Err(VoteLogError::Io { .. })
        ));
    }

    #[test]
    fn full_log_refuses_instead_of_growing() {
        let folder = TempDir::new().unwrap();
        let (mut log, _) = open(&folder, '1', 100);
        log.closed.push(Segment {
            path: PathBuf::new(),
            bytes: TOTAL_BYTES,
            deadline: at(900),
        });
        assert!(matches!(
            log.append(at(100), at(200), b"prepare"),
            Err(VoteLogError::Full)
        ));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut segment = [MAGIC.as_slice(), &boot('1').0].concat();
            segment.extend(bytes);
            let _ = read_segment(&segment, &boot('1'));
        }

        #[test]
        fn every_record_reads_back(records in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..6)) {
            let folder = TempDir::new().unwrap();
            let (mut log, _) = open(&folder, '1', 100);
            for record in &records {
                log.append(at(100), at(200), record).unwrap();
            }
            prop_assert_eq!(open(&folder, '1', 100).1.records, records);
        }
    }
}
