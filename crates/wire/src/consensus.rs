//! Messages of the agreement: one statement, what justifies it, and the values behind the hashes.
//!
//! ```text
//! bytes ── Codec::decode ──▶ Verified<ConsensusMessage>     all signatures checked, all hashes resolved
//! ConsensusDraft ── Codec::seal ──▶ Sealed                  bytes for the others, the same message for ourselves
//! ```
//!
//! Statements leave as their authors signed them (their seals); only the frame around them is ours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flotilla_crypto::{IdentityKey, IdentityPublicKey, Verified};
use flotilla_duty::io::{ConsensusDraft, ConsensusMessage, QbftMessage, Seal, UnsignedSet, Value};
use flotilla_qbft::Hash;
use flotilla_types::{Chain, Duty, DutyKind, PeerIndex, Root, Timestamp};

use crate::fields::{Content, Field, Part, fields, put_message_field};
use crate::hash::sha256;
use crate::recent::Recent;
use crate::reject::Reject;
use crate::statement::Statement;
use crate::values::{Enveloped, Values};

/// Longest message accepted and sent, in bytes (spec 20 §2.1).
pub const MESSAGE_LIMIT: usize = 32 << 20;
/// Statements remembered as verified, for each peer: a few rounds of a few duties.
const REMEMBERED_SEALS_PER_PEER: usize = 256;

mod number {
    pub(super) const MESSAGE: u32 = 1;
    pub(super) const JUSTIFICATION: u32 = 2;
    pub(super) const VALUE: u32 = 3;
}

/// Reads and writes one cluster's messages of the agreement.
///
/// It remembers signatures already checked and values already decoded, both bounded, so that what is said many times
/// costs once; it holds no other state, and what it answers does not depend on what it remembers. It can be shared
/// between threads.
#[derive(Debug)]
pub struct Codec {
    peers: Vec<IdentityPublicKey>,
    verified: Mutex<Recent<[u8; 32]>>,
    values: Values,
}

/// A message of ours, signed.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// What is sent to others: the content of a frame, without its length.
    pub bytes: Bytes,
    /// What we hand to ourselves.
    pub message: Verified<ConsensusMessage>,
}

/// Why a draft could not become a message. Each is a mistake of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The signature does not verify under the cluster's key for us.
    #[error("own statement: {0}")]
    Statement(#[from] Reject),
    /// A hash in the draft or its justifications has no value.
    #[error("no value with hash {0} to send along")]
    MissingValue(Root),
    /// A value's hash is not the hash of its set, whose original bytes have been forgotten.
    #[error("the value with hash {expected} encodes to one with hash {found}")]
    ForeignHash {
        /// What the value says.
        expected: Root,
        /// What its encoding hashes to.
        found: Root,
    },
    /// The message would be dropped by every receiver.
    #[error("the message has {bytes} bytes, the limit is {MESSAGE_LIMIT}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

/// A statement that its author signed, with its duty.
type Signed = Verified<(Duty, QbftMessage)>;

impl Codec {
    /// For a cluster of these operators, in the lock's order.
    #[must_use]
    pub fn new(peers: Vec<IdentityPublicKey>) -> Self {
        let verified = Mutex::new(Recent::new(REMEMBERED_SEALS_PER_PEER * peers.len()));
        Self { peers, verified, values: Values::default() }
    }

    /// How many operators the cluster has.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.peers.len()
    }

    /// Reads a received message, the content of a frame. The steps and their order are those of spec 20 §4.6; that the
    /// work is bounded by the number of nodes stands in for its time budget. Who sent the bytes does not matter.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn decode(&self, content: &[u8], now: Timestamp, chain: &Chain) -> Result<Verified<ConsensusMessage>, Reject> {
        self.read(content, |duty| Ok(chain.gate(duty, now)?), |duty| live(duty, now, chain))
    }

    /// Reads a message that was received or sent at some time before: whether its duty is due or over is not asked.
    pub(crate) fn decode_logged(&self, content: &[u8]) -> Result<Verified<ConsensusMessage>, Reject> {
        self.read(content, |_| Ok(()), |_| Ok(()))
    }

    /// The value that a set of ours is, with its hash. It is remembered, so that sending it costs no second encoding.
    pub fn value(&self, set: UnsignedSet) -> Value {
        let enveloped = Enveloped::of(Arc::new(set));
        self.values.remember(enveloped.clone());
        enveloped.value
    }

    /// Signs a draft of ours and puts it together with its justifications and values.
    ///
    /// # Errors
    /// [`SealError`], which no draft of an engine for this cluster and key causes.
    pub fn seal(&self, draft: ConsensusDraft, me: PeerIndex, key: &IdentityKey) -> Result<Sealed, SealError> {
        let ConsensusDraft { duty, draft, justification, values } = draft;
        let unsigned = Statement::draft(duty, me, &draft);
        let seal = unsigned.encode(&key.sign(&unsigned.signing_root()));
        let own = self.signed(&seal)?;
        let seals: Vec<&[u8]> = justification.iter().map(|statement| &*statement.seal).collect();
        let justification = self.justification(&seals, duty)?;

        let needed = hashes(std::iter::once(&own.1).chain(justification.iter()));
        let values: BTreeMap<Hash, &Value> = values.iter().map(|value| (value.hash, value)).collect();
        let enveloped = needed.iter().map(|hash| self.envelope(hash, &values)).collect::<Result<Vec<_>, _>>()?;

        let bytes = frame(Some(&seal), &justification, &enveloped);
        if bytes.len() > MESSAGE_LIMIT {
            return Err(SealError::TooLong { bytes: bytes.len() });
        }
        let values = enveloped.into_iter().map(|enveloped| enveloped.value).collect();
        Ok(Sealed { bytes: bytes.into(), message: join(own, justification, values) })
    }

    /// Statements with one value, without a message of their own: how the vote log keeps a certificate.
    pub(crate) fn certificate(&self, statements: &[QbftMessage], value: &Value) -> Result<Vec<u8>, SealError> {
        let values = BTreeMap::from([(value.hash, value)]);
        Ok(frame(None, statements, &[self.envelope(&value.hash, &values)?]))
    }

    /// Reads what [`Codec::certificate`] wrote: a duty, its statements and the value.
    pub(crate) fn decode_certificate(
        &self,
        content: &[u8],
    ) -> Result<(Duty, Verified<Vec<QbftMessage>>, Value), Reject> {
        let parts = Parts::read(content, self.nodes())?;
        let first = parts.justification.first().ok_or(Reject::MissingField("justification"))?;
        let duty = self.signed(first)?.0;
        let statements = self.justification(&parts.justification, duty)?;
        agreed_kind(duty.kind)?;
        let mut values = self.values(&parts, duty.kind, statements.iter())?;
        let (_, value) = values.pop_first().ok_or(Reject::MissingField("values"))?;
        Ok((duty, statements, value.value))
    }

    fn read(
        &self,
        content: &[u8],
        gate: impl FnOnce(Duty) -> Result<(), Reject>,
        live: impl FnOnce(Duty) -> Result<(), Reject>,
    ) -> Result<Verified<ConsensusMessage>, Reject> {
        let parts = Parts::read(content, self.nodes())?; // Step 1.
        let statement = parts.message.as_deref().ok_or(Reject::MissingField("msg"))?;
        let own = self.signed(statement)?; // Step 2.
        let duty = own.0;
        gate(duty)?; // Step 3.
        parts.check_counts()?; // Step 4.
        let justification = self.justification(&parts.justification, duty)?; // Step 5.
        agreed_kind(duty.kind)?;
        let values = self.values(&parts, duty.kind, std::iter::once(&own.1).chain(justification.iter()))?; // Steps 6, 7.
        live(duty)?; // Step 8.
        let values = values.into_values().map(|enveloped| self.keep(enveloped)).collect();
        Ok(join(own, justification, values))
    }

    /// Checks one statement and its author's signature.
    fn signed(&self, bytes: &[u8]) -> Result<Signed, Reject> {
        let statement = Statement::read(bytes)?;
        let facts = statement.facts(self.nodes())?;
        let message = facts.message;
        let message = QbftMessage {
            kind: message.kind,
            source: message.source,
            round: message.round,
            value: message.value,
            prepared_round: message.prepared_round,
            prepared_value: message.prepared_value,
            seal: Seal::from(bytes),
        };
        Verified::check((facts.duty, message), |_| self.check_signature(facts.author, &statement, bytes))
    }

    fn check_signature(&self, author: PeerIndex, statement: &Statement<'_>, bytes: &[u8]) -> Result<(), Reject> {
        let digest = sha256(bytes);
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&digest) {
            return Ok(());
        }
        let key = self.peers.get(author.get());
        let signed = statement.signature().zip(key);
        if !signed.is_some_and(|(signature, key)| key.verify(&statement.signing_root(), signature)) {
            return Err(Reject::BadSignature { author });
        }
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
        Ok(())
    }

    /// Checks all justifications of a message for `duty`.
    fn justification(&self, statements: &[&[u8]], duty: Duty) -> Result<Verified<Vec<QbftMessage>>, Reject> {
        let nothing = Verified::check(Vec::with_capacity(statements.len()), |_| Ok::<_, Reject>(()))?;
        statements.iter().enumerate().try_fold(nothing, |all, (place, bytes)| {
            let statement = self
                .signed(bytes)
                .and_then(|statement| for_duty(statement, duty))
                .map_err(|reason| Reject::Justification { place, reason: Box::new(reason) })?;
            // Both sides of the join have their proof.
            Ok(all.map(|mut all| {
                all.push(statement.into_inner().1);
                all
            }))
        })
    }

    /// Reads all values, and keeps those behind the hashes of `statements`; each hash must have one.
    fn values<'a>(
        &self,
        parts: &Parts<'_>,
        kind: DutyKind,
        statements: impl Iterator<Item = &'a QbftMessage>,
    ) -> Result<BTreeMap<Hash, Enveloped>, Reject> {
        let mut values = BTreeMap::new();
        for any in &parts.values {
            let enveloped = self.values.read(kind, any)?;
            values.insert(enveloped.value.hash, enveloped);
        }
        let needed = hashes(statements);
        if let Some(missing) = needed.iter().find(|hash| !values.contains_key(*hash)) {
            return Err(Reject::MissingValue(Root(*missing)));
        }
        values.retain(|hash, _| needed.contains(hash));
        Ok(values)
    }

    fn keep(&self, enveloped: Enveloped) -> Value {
        let value = enveloped.value.clone();
        self.values.remember(enveloped);
        value
    }

    fn envelope(&self, hash: &Hash, values: &BTreeMap<Hash, &Value>) -> Result<Enveloped, SealError> {
        let value = values.get(hash).ok_or(SealError::MissingValue(Root(*hash)))?;
        let enveloped = self.values.envelope(value);
        if enveloped.value.hash != *hash {
            return Err(SealError::ForeignHash { expected: Root(*hash), found: Root(enveloped.value.hash) });
        }
        self.values.remember(enveloped.clone());
        Ok(enveloped)
    }
}

/// A message cut into its parts, none of them looked into. At most one part over each limit is kept.
struct Parts<'a> {
    message: Option<std::borrow::Cow<'a, [u8]>>,
    justification: Vec<&'a [u8]>,
    values: Vec<&'a [u8]>,
    nodes: usize,
}

impl<'a> Parts<'a> {
    fn read(content: &'a [u8], nodes: usize) -> Result<Self, Reject> {
        if content.len() > MESSAGE_LIMIT {
            return Err(Reject::TooLong { bytes: content.len(), limit: MESSAGE_LIMIT });
        }
        let mut message = Part::default();
        let mut parts = Self { message: None, justification: Vec::new(), values: Vec::new(), nodes };
        for field in fields(content) {
            match field? {
                Field { number: number::MESSAGE, content: Content::Bytes(bytes), .. } => message.add(bytes),
                Field { number: number::JUSTIFICATION, content: Content::Bytes(bytes), .. } => {
                    push_up_to(2 * nodes + 1, &mut parts.justification, bytes);
                }
                Field { number: number::VALUE, content: Content::Bytes(bytes), .. } => {
                    push_up_to(2 * (2 * nodes + 1) + 1, &mut parts.values, bytes);
                }
                _ => {}
            }
        }
        parts.message = message.get();
        for statement in parts.message.as_deref().into_iter().chain(parts.justification.iter().copied()) {
            Statement::read(statement)?;
        }
        Ok(parts)
    }

    fn check_counts(&self) -> Result<(), Reject> {
        let limit = 2 * self.nodes;
        if self.justification.len() > limit {
            return Err(Reject::TooManyJustifications { limit });
        }
        let limit = 2 * (self.justification.len() + 1);
        if self.values.len() > limit {
            return Err(Reject::TooManyValues { limit });
        }
        Ok(())
    }
}

fn push_up_to<'a>(most: usize, list: &mut Vec<&'a [u8]>, item: &'a [u8]) {
    if list.len() < most {
        list.push(item);
    }
}

/// Puts checked parts together: both statements and justifications have their proof, and values are bound to them by
/// their hashes.
fn join(own: Signed, justification: Verified<Vec<QbftMessage>>, values: Vec<Value>) -> Verified<ConsensusMessage> {
    own.map(|(duty, message)| ConsensusMessage { duty, message, justification: justification.into_inner(), values })
}

fn for_duty(statement: Signed, duty: Duty) -> Result<Signed, Reject> {
    if statement.0 == duty { Ok(statement) } else { Err(Reject::ForeignDuty { found: statement.0, expected: duty }) }
}

/// Whether duties of this kind are agreed on, and by this version of the software.
fn agreed_kind(kind: DutyKind) -> Result<(), Reject> {
    match kind {
        DutyKind::Attester => Ok(()),
        DutyKind::Proposer | DutyKind::Aggregator | DutyKind::SyncContribution | DutyKind::InfoSync => {
            Err(Reject::UnsupportedKind(kind))
        }
        DutyKind::Signature
        | DutyKind::Exit
        | DutyKind::BuilderProposer
        | DutyKind::BuilderRegistration
        | DutyKind::Randao
        | DutyKind::PrepareAggregator
        | DutyKind::SyncMessage
        | DutyKind::PrepareSyncContribution => Err(Reject::NoAgreement(kind)),
    }
}

/// Kinds that never expire are not agreed on, so a deadline is missing only by mistake.
fn live(duty: Duty, now: Timestamp, chain: &Chain) -> Result<(), Reject> {
    match chain.deadline(duty) {
        Some(deadline) if deadline >= now => Ok(()),
        _ => Err(Reject::Expired(duty)),
    }
}

/// All hashes that need a value.
fn hashes<'a>(statements: impl Iterator<Item = &'a QbftMessage>) -> BTreeSet<Hash> {
    statements.flat_map(|statement| [statement.value, statement.prepared_value]).flatten().collect()
}

fn frame(own: Option<&[u8]>, justification: &[QbftMessage], values: &[Enveloped]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(own) = own {
        put_message_field(&mut bytes, number::MESSAGE, own);
    }
    for statement in justification {
        put_message_field(&mut bytes, number::JUSTIFICATION, &statement.seal);
    }
    for value in values {
        put_message_field(&mut bytes, number::VALUE, &value.envelope);
    }
    bytes
}
