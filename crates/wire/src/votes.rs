//! Records of the vote log: what a node must not forget when it crashes (S3 of the safety rules).
//!
//! ```text
//! record   length u32 | sum of body u64 | sum of both u32 | body      little-endian; sums are heads of SHA-256
//! body     1 | QBFTConsensusMsg             an own message, as it was sent
//!          2 | QBFTConsensusMsg             a prepared certificate: no message, PREPAREs as justification, the value
//! ```
//!
//! A crash in the middle of an append leaves a record that ends too early, and such a tail was never acted upon. Anything
//! else that does not add up means that the file was damaged or exchanged, and that nothing in it may be relied on. The
//! signatures inside are checked again: a log is foreign bytes, too.

use std::collections::BTreeSet;

use flotilla_duty::io::{LoggedVote, QbftMessage, Value};
use flotilla_qbft::{MessageKind, quorum};
use flotilla_types::PeerIndex;

use crate::consensus::{Codec, MESSAGE_LIMIT, SealError, Sealed};
use crate::hash::sha256;
use crate::reject::Reject;

/// Bytes before a record's body.
const HEADER: usize = 16;
/// A record of an own message.
const SENT: u8 = 1;
/// A record of a prepared certificate.
const PREPARED: u8 = 2;

/// What a log holds.
#[derive(Debug)]
pub struct Log {
    /// All votes, in the order they were appended.
    pub votes: Vec<LoggedVote>,
    /// Length of the whole records, in bytes; the log is to be cut there before the next append.
    pub length: usize,
}

/// Why a log cannot be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record at byte {at} of the vote log: {problem}")]
pub struct LogError {
    /// Where the record begins.
    pub at: usize,
    /// What is wrong with it.
    pub problem: LogProblem,
}

/// What can be wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogProblem {
    /// A checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// A record longer than any message.
    #[error("it has {0} bytes")]
    Length(usize),
    /// A kind of record that this version of the software does not know.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// A message that does not hold.
    #[error(transparent)]
    Message(#[from] Reject),
    /// A message of somebody else.
    #[error("a message of peer {0}")]
    ForeignAuthor(usize),
    /// A certificate that is none.
    #[error("not a prepared certificate: {0}")]
    Certificate(&'static str),
}

/// The record of a message of ours, to be appended before it is sent.
#[must_use]
pub fn sent(message: &Sealed) -> Vec<u8> {
    record(SENT, &message.bytes)
}

/// The record of a prepared certificate; duty and round are those of its PREPAREs.
///
/// # Errors
/// [`SealError::ForeignHash`] if the value is not what its hash says.
pub fn prepared(
    codec: &Codec,
    value: &Value,
    certificate: &[QbftMessage],
) -> Result<Vec<u8>, SealError> {
    Ok(record(PREPARED, &codec.certificate(certificate, value)?))
}

/// Reads the log of the node `me`. A record cut short at the end is left out.
///
/// # Errors
/// [`LogError`] at the first record that is damaged, or does not hold for this cluster and node.
pub fn decode(log: &[u8], codec: &Codec, me: PeerIndex) -> Result<Log, LogError> {
    let (mut votes, mut at) = (Vec::new(), 0);
    while let Some((body, next)) = body_at(log, at).map_err(|problem| LogError { at, problem })? {
        votes.push(vote(body, codec, me).map_err(|problem| LogError { at, problem })?);
        at = next;
    }
    Ok(Log { votes, length: at })
}

fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    let body = [&[kind], content].concat();
    let length = u32::try_from(body.len()).expect("messages are at most 32 MiB");
    let mut record = Vec::with_capacity(HEADER + body.len());
    record.extend_from_slice(&length.to_le_bytes());
    record.extend_from_slice(&sum::<8>(&body));
    record.extend_from_slice(&sum::<4>(&record));
    record.extend_from_slice(&body);
    record
}

/// The body of the record at a place and where the next one begins; nothing if the log ends before this one does.
fn body_at(log: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, LogProblem> {
    let rest = &log[at..];
    let Some((header, rest)) = rest.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    // The length has a sum of its own, so that a damaged length is not taken for a tail.
    if header[12..] != sum::<4>(&header[..12]) {
        return Err(LogProblem::Checksum);
    }
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if length > MESSAGE_LIMIT + 1 {
        return Err(LogProblem::Length(length));
    }
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    if header[4..12] != sum::<8>(body) {
        return Err(LogProblem::Checksum);
    }
    Ok(Some((body, at + HEADER + length)))
}

fn vote(body: &[u8], codec: &Codec, me: PeerIndex) -> Result<LoggedVote, LogProblem> {
    match body.split_first() {
        Some((&SENT, content)) => own_message(codec, content, me),
        Some((&PREPARED, content)) => certificate(codec, content),
        Some((&kind, _)) => Err(LogProblem::Kind(kind)),
        None => Err(LogProblem::Length(0)),
    }
}

fn own_message(codec: &Codec, content: &[u8], me: PeerIndex) -> Result<LoggedVote, LogProblem> {
    let message = codec.decode_logged(content)?;
    if message.message.source != me.get() {
        return Err(LogProblem::ForeignAuthor(message.message.source));
    }
    Ok(LoggedVote::Sent(message))
}

fn certificate(codec: &Codec, content: &[u8]) -> Result<LoggedVote, LogProblem> {
    let (duty, certificate, value) = codec.decode_certificate(content)?;
    let round = round_of(&certificate, &value, codec.nodes()).map_err(LogProblem::Certificate)?;
    Ok(LoggedVote::Prepared {
        duty,
        round,
        value,
        certificate,
    })
}

/// The round of a quorum of PREPAREs for one value, each by another peer.
fn round_of(statements: &[QbftMessage], value: &Value, nodes: usize) -> Result<u64, &'static str> {
    let round = statements
        .first()
        .map(|statement| statement.round)
        .ok_or("it is empty")?;
    let same = |statement: &QbftMessage| {
        statement.kind == MessageKind::Prepare
            && statement.round == round
            && statement.value == Some(value.hash)
    };
    if !statements.iter().all(same) {
        return Err("a statement is not a PREPARE of one round and value");
    }
    let authors: BTreeSet<_> = statements
        .iter()
        .map(|statement| statement.source)
        .collect();
    if authors.len() != statements.len() || authors.len() < quorum(nodes) {
        return Err("its authors are not a quorum of distinct peers");
    }
    Ok(round)
}

fn sum<const BYTES: usize>(bytes: &[u8]) -> [u8; BYTES] {
    let mut sum = [0; BYTES];
    sum.copy_from_slice(&sha256(bytes)[..BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{Cluster, DUTY, prepare, round_change};

    const ME: usize = 2;

    /// A log of a PREPARE, the certificate it became part of, and a ROUND-CHANGE.
    fn records(cluster: &Cluster) -> Vec<Vec<u8>> {
        let value = cluster.value(1);
        let certificate = cluster.prepares(0..3, &value);
        vec![
            sent(&cluster.say(ME, prepare(&value))),
            prepared(&cluster.codec, &value, &certificate).unwrap(),
            sent(&cluster.say(ME, round_change(&value, certificate))),
        ]
    }

    fn read(log: &[u8]) -> Result<Log, LogError> {
        decode(log, &Cluster::new().codec, PeerIndex::new(ME))
    }

    #[test]
    fn votes_come_back_as_they_were_logged() {
        let cluster = Cluster::new();
        let log = read(&records(&cluster).concat()).unwrap();
        let value = cluster.value(1);
        let certificate = cluster.prepares(0..3, &value);
        assert_eq!(log.votes.len(), 3);
        let LoggedVote::Sent(first) = &log.votes[0] else {
            panic!("{:?}", log.votes[0])
        };
        assert_eq!(*first, cluster.say(ME, prepare(&value)).message);
        let LoggedVote::Prepared {
            duty,
            round,
            value: kept,
            certificate: statements,
        } = &log.votes[1]
        else {
            panic!("{:?}", log.votes[1])
        };
        assert_eq!(
            (*duty, *round, kept, &**statements),
            (DUTY, 1, &value, &certificate)
        );
        let LoggedVote::Sent(last) = &log.votes[2] else {
            panic!("{:?}", log.votes[2])
        };
        assert_eq!(last.justification, certificate);
    }

    #[test]
    fn an_empty_log_is_one() {
        let log = read(&[]).unwrap();
        assert_eq!((log.votes.len(), log.length), (0, 0));
    }

    #[test]
    fn messages_of_others_and_unknown_kinds_are_refused() {
        let cluster = Cluster::new();
        let foreign = sent(&cluster.say(0, prepare(&cluster.value(1))));
        assert_eq!(
            read(&foreign).unwrap_err().problem,
            LogProblem::ForeignAuthor(0)
        );
        assert_eq!(
            read(&record(9, &[])).unwrap_err().problem,
            LogProblem::Kind(9)
        );
    }

    #[test]
    fn a_certificate_is_a_quorum_of_prepares() {
        let cluster = Cluster::new();
        let value = cluster.value(1);
        let problem = |statements: &[QbftMessage]| {
            read(&prepared(&cluster.codec, &value, statements).unwrap())
                .unwrap_err()
                .problem
        };
        assert!(matches!(
            problem(&cluster.prepares(0..2, &value)),
            LogProblem::Certificate(_)
        ));
        assert!(matches!(
            problem(&cluster.prepares([0, 1, 1], &value)),
            LogProblem::Certificate(_)
        ));
        let change = cluster
            .say(3, round_change(&value, Vec::new()))
            .message
            .into_inner()
            .message;
        let mixed = [cluster.prepares(0..2, &value), vec![change]].concat();
        assert!(matches!(problem(&mixed), LogProblem::Certificate(_)));
        assert!(matches!(problem(&[]), LogProblem::Message(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_crash_in_an_append_loses_that_record_only(cut: prop::sample::Index) {
            let records = records(&Cluster::new());
            let whole = records.concat();
            let cut = cut.index(whole.len());
            let log = read(&whole[..cut]).unwrap();
            let ends = records.iter().scan(0, |end, record| { *end += record.len(); Some(*end) });
            let kept: Vec<usize> = ends.filter(|end| *end <= cut).collect();
            prop_assert_eq!(log.votes.len(), kept.len());
            prop_assert_eq!(log.length, kept.last().copied().unwrap_or(0));
        }

        #[test]
        fn a_damaged_byte_is_an_error(place: prop::sample::Index, by in 1u8..) {
            let mut log = records(&Cluster::new()).concat();
            let place = place.index(log.len());
            log[place] ^= by;
            prop_assert!(read(&log).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_panic(kind in 0u8..3, bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = read(&bytes);
            let _ = read(&record(kind, &bytes));
        }
    }
}
