//! Messages of the agreement: one statement, what justifies it, and the values behind the hashes.
//!
//! ```text
//! bytes ── Codec::decode ──▶ Verified<ConsensusMessage>     all signatures checked, all hashes resolved
//! ConsensusDraft ── Codec::seal ──▶ Sealed                  bytes for the others, the same message for ourselves
//! ```
//!
//! Statements leave as their authors signed them (their seals); only the frame around them is ours.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use flotilla_crypto::{IdentityKey, IdentityPublicKey, Verified};
use flotilla_duty::io::{ConsensusDraft, ConsensusMessage, QbftMessage, Seal, UnsignedSet, Value};
use flotilla_qbft::Hash;
use flotilla_types::{Chain, Duty, DutyKind, ListSizes, PeerIndex, Root, Timestamp};

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
    handled: &'static [DutyKind],
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
    /// For a cluster of these operators, in the lock's order, whose engine handles these kinds, on a chain with these
    /// list sizes.
    #[must_use]
    pub fn new(
        peers: Vec<IdentityPublicKey>,
        handled: &'static [DutyKind],
        sizes: ListSizes,
    ) -> Self {
        let verified = Mutex::new(Recent::new(REMEMBERED_SEALS_PER_PEER * peers.len()));
        Self {
            peers,
            handled,
            verified,
            values: Values::new(sizes),
        }
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
    pub fn decode(
        &self,
        content: &[u8],
        now: Timestamp,
        chain: &Chain,
    ) -> Result<Verified<ConsensusMessage>, Reject> {
        self.read(
            content,
            |duty| Ok(chain.gate(duty, now)?),
            |duty| live(duty, now, chain),
        )
    }

    /// Reads a message that was received or sent at some time before: whether its duty is due or over is not asked.
    pub(crate) fn decode_logged(
        &self,
        content: &[u8],
    ) -> Result<Verified<ConsensusMessage>, Reject> {
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
    pub fn seal(
        &self,
        draft: ConsensusDraft,
        me: PeerIndex,
        key: &IdentityKey,
    ) -> Result<Sealed, SealError> {
        let ConsensusDraft {
            duty,
            draft,
            justification,
            values,
        } = draft;
        let unsigned = Statement::draft(duty, me, &draft);
        let seal = unsigned.encode(&key.sign(&unsigned.signing_root()));
        let own = self.signed(&seal)?;
        let seals: Vec<&[u8]> = justification
            .iter()
            .map(|statement| &*statement.seal)
            .collect();
        let justification = self.justification(&seals, duty)?;

        let needed = hashes(std::iter::once(&own.1).chain(justification.iter()));
        let values: BTreeMap<Hash, &Value> =
            values.iter().map(|value| (value.hash, value)).collect();
        let enveloped = needed
            .iter()
            .map(|hash| self.envelope(hash, &values))
            .collect::<Result<Vec<_>, _>>()?;

        let bytes = frame(Some(&seal), &justification, &enveloped);
        if bytes.len() > MESSAGE_LIMIT {
            return Err(SealError::TooLong { bytes: bytes.len() });
        }
        let values = enveloped
            .into_iter()
            .map(|enveloped| enveloped.value)
            .collect();
        Ok(Sealed {
            bytes: bytes.into(),
            message: join(own, justification, values),
        })
    }

    /// Statements with one value, without a message of their own: how the vote log keeps a certificate.
    pub(crate) fn certificate(
        &self,
        statements: &[QbftMessage],
        value: &Value,
    ) -> Result<Vec<u8>, SealError> {
        let values = BTreeMap::from([(value.hash, value)]);
        Ok(frame(
            None,
            statements,
            &[self.envelope(&value.hash, &values)?],
        ))
    }

    /// Reads what [`Codec::certificate`] wrote: a duty, its statements and the value.
    pub(crate) fn decode_certificate(
        &self,
        content: &[u8],
    ) -> Result<(Duty, Verified<Vec<QbftMessage>>, Value), Reject> {
        let parts = Parts::read(content, self.nodes())?;
        let first = parts
            .justification
            .first()
            .ok_or(Reject::MissingField("justification"))?;
        let duty = self.signed(first)?.0;
        let statements = self.justification(&parts.justification, duty)?;
        agreed_kind(duty.kind, self.handled)?;
        let mut values = self.values(&parts, duty.kind, statements.iter())?;
        let (_, value) = values.pop_first().ok_or(Reject::MissingField("values"))?;
        Ok((duty, statements, self.keep(value)))
    }

    fn read(
        &self,
        content: &[u8],
        gate: impl FnOnce(Duty) -> Result<(), Reject>,
        live: impl FnOnce(Duty) -> Result<(), Reject>,
    ) -> Result<Verified<ConsensusMessage>, Reject> {
        let parts = Parts::read(content, self.nodes())?; // Step 1.
        let statement = parts
            .message
            .as_deref()
            .ok_or(Reject::MissingField("msg"))?;
        let own = self.signed(statement)?; // Step 2.
        let duty = own.0;
        gate(duty)?; // Step 3.
        parts.check_counts()?; // Step 4.
        let justification = self.justification(&parts.justification, duty)?; // Step 5.
        agreed_kind(duty.kind, self.handled)?;
        let values = self.values(
            &parts,
            duty.kind,
            std::iter::once(&own.1).chain(justification.iter()),
        )?; // Steps 6, 7.
        live(duty)?; // Step 8.
        let values = values
            .into_values()
            .map(|enveloped| self.keep(enveloped))
            .collect();
        Ok(join(own, justification, values))
    }

    /// Checks one statement and its author's signature.
    fn signed(&self, bytes: &[u8]) -> Result<Signed, Reject> {
        let statement = Statement::read(bytes)?;
        let facts = statement.facts(self.nodes(), Seal::from(bytes))?;
        Verified::check((facts.duty, facts.message), |_| {
            self.check_signature(facts.author, &statement, bytes)
        })
    }

    fn check_signature(
        &self,
        author: PeerIndex,
        statement: &Statement<'_>,
        bytes: &[u8],
    ) -> Result<(), Reject> {
        let digest = sha256(bytes);
        if self
            .verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&digest)
        {
            return Ok(());
        }
        let key = self.peers.get(author.get());
        let signed = statement.signature().zip(key);
        if !signed.is_some_and(|(signature, key)| key.verify(&statement.signing_root(), signature))
        {
            return Err(Reject::BadSignature { author });
        }
        self.verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(digest);
        Ok(())
    }

    /// Checks all justifications of a message for `duty`.
    fn justification(
        &self,
        statements: &[&[u8]],
        duty: Duty,
    ) -> Result<Verified<Vec<QbftMessage>>, Reject> {
        let nothing =
            Verified::check(
                Vec::with_capacity(statements.len()),
                |_| Ok::<_, Reject>(()),
            )?;
        statements
            .iter()
            .enumerate()
            .try_fold(nothing, |all, (place, bytes)| {
                let statement = self
                    .signed(bytes)
                    .and_then(|statement| for_duty(statement, duty))
                    .map_err(|reason| Reject::Justification {
                        place,
                        reason: Box::new(reason),
                    })?;
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

    fn envelope(
        &self,
        hash: &Hash,
        values: &BTreeMap<Hash, &Value>,
    ) -> Result<Enveloped, SealError> {
        let value = values
            .get(hash)
            .ok_or(SealError::MissingValue(Root(*hash)))?;
        let enveloped = self.values.envelope(value);
        if enveloped.value.hash != *hash {
            return Err(SealError::ForeignHash {
                expected: Root(*hash),
                found: Root(enveloped.value.hash),
            });
        }
        self.values.remember(enveloped.clone());
        Ok(enveloped)
    }
}

/// A message cut into its parts, none of them looked into. At most one part over each limit is kept.
struct Parts<'a> {
    message: Option<Cow<'a, [u8]>>,
    justification: Vec<&'a [u8]>,
    values: Vec<&'a [u8]>,
    nodes: usize,
}

impl<'a> Parts<'a> {
    fn read(content: &'a [u8], nodes: usize) -> Result<Self, Reject> {
        if content.len() > MESSAGE_LIMIT {
            return Err(Reject::TooLong {
                bytes: content.len(),
                limit: MESSAGE_LIMIT,
            });
        }
        let mut message = Part::default();
        let mut parts = Self {
            message: None,
            justification: Vec::new(),
            values: Vec::new(),
            nodes,
        };
        for field in fields(content) {
            match field? {
                Field {
                    number: number::MESSAGE,
                    content: Content::Bytes(bytes),
                    ..
                } => message.add(bytes),
                Field {
                    number: number::JUSTIFICATION,
                    content: Content::Bytes(bytes),
                    ..
                } => {
                    push_up_to(2 * nodes + 1, &mut parts.justification, bytes);
                }
                Field {
                    number: number::VALUE,
                    content: Content::Bytes(bytes),
                    ..
                } => {
                    push_up_to(2 * (2 * nodes + 1) + 1, &mut parts.values, bytes);
                }
                _ => {}
            }
        }
        parts.message = message.get();
        for statement in parts
            .message
            .as_deref()
            .into_iter()
            .chain(parts.justification.iter().copied())
        {
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
fn join(
    own: Signed,
    justification: Verified<Vec<QbftMessage>>,
    values: Vec<Value>,
) -> Verified<ConsensusMessage> {
    own.map(|(duty, message)| ConsensusMessage {
        duty,
        message,
        justification: justification.into_inner(),
        values,
    })
}

fn for_duty(statement: Signed, duty: Duty) -> Result<Signed, Reject> {
    if statement.0 == duty {
        Ok(statement)
    } else {
        Err(Reject::ForeignDuty {
            found: statement.0,
            expected: duty,
        })
    }
}

/// Whether duties of this kind are agreed on, and the engine handles them.
fn agreed_kind(kind: DutyKind, handled: &[DutyKind]) -> Result<(), Reject> {
    match kind {
        DutyKind::Attester
        | DutyKind::Proposer
        | DutyKind::Aggregator
        | DutyKind::SyncContribution
        | DutyKind::InfoSync => {
            let known = handled.contains(&kind);
            known.then_some(()).ok_or(Reject::UnsupportedKind(kind))
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
    statements
        .flat_map(|statement| [statement.value, statement.prepared_value])
        .flatten()
        .collect()
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use flotilla_types::Slot;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::core;
    use crate::testing::{
        Cluster, DUTY, HANDLED, chain, identities, noon, prepare, publics, round_change,
    };

    /// A node that has heard nothing yet.
    fn listener() -> Codec {
        Codec::new(publics(&identities(4)), HANDLED, ListSizes::MAINNET)
    }

    fn hear(codec: &Codec, bytes: &[u8]) -> Result<Verified<ConsensusMessage>, Reject> {
        codec.decode(bytes, noon(DUTY.slot), &chain())
    }

    /// A message of peer 0 with three justifications, changed through other code than the one tested.
    fn changed(change: impl FnOnce(&mut core::QbftConsensusMsg)) -> Vec<u8> {
        let cluster = Cluster::new();
        let value = cluster.value(1);
        let sealed = cluster.say(0, round_change(&value, cluster.prepares(0..3, &value)));
        let mut message = core::QbftConsensusMsg::decode(sealed.bytes).unwrap();
        change(&mut message);
        message.encode_to_vec()
    }

    #[test]
    fn a_message_is_heard_as_it_was_said() {
        let cluster = Cluster::new();
        let value = cluster.value(1);
        let sealed = cluster.say(3, round_change(&value, cluster.prepares(0..3, &value)));
        let codec = listener();
        assert_eq!(hear(&codec, &sealed.bytes), Ok(sealed.message.clone()));
        assert_eq!(
            hear(&codec, &sealed.bytes),
            Ok(sealed.message),
            "from memory"
        );
    }

    #[test]
    fn a_statement_of_a_newer_peer_is_shown_to_others_with_the_fields_we_do_not_know() {
        let cluster = Cluster::new();
        let value = cluster.value(1);
        let drafts: Vec<_> = (0..3)
            .map(|author| (author, prepare(&value).draft))
            .collect();
        let newer = drafts.iter().map(|(author, draft)| {
            let statement = Statement::draft(DUTY, PeerIndex::new(*author), draft);
            let extended = [statement.encode(&[]), vec![0xa0, 0x06, 7]].concat();
            let extended = Statement::read(&extended).unwrap();
            let seal = extended.encode(&cluster.keys[*author].sign(&extended.signing_root()));
            listener().signed(&seal).unwrap().into_inner().1
        });
        let sealed = cluster.say(3, round_change(&value, newer.collect()));
        let heard = hear(&listener(), &sealed.bytes).unwrap();
        assert!(
            heard
                .justification
                .iter()
                .all(|statement| statement.seal.ends_with(&[0xa0, 0x06, 7]))
        );
    }

    #[test]
    fn a_message_in_two_parts_is_one_message() {
        let cluster = Cluster::new();
        let value = cluster.value(1);
        let sealed = cluster.say(1, prepare(&value));
        let seal = &sealed.message.message.seal;
        let mut parts = Vec::new();
        let fields: Vec<_> = fields(seal)
            .map(|field| field.unwrap().raw.to_vec())
            .collect();
        put_message_field(&mut parts, number::MESSAGE, &fields[..3].concat());
        parts.extend_from_slice(
            &sealed.bytes[sealed.bytes.len() - value_field(&cluster, &value).len()..],
        );
        put_message_field(&mut parts, number::MESSAGE, &fields[3..].concat());
        assert_eq!(hear(&listener(), &parts), Ok(sealed.message));
    }

    fn value_field(cluster: &Cluster, value: &Value) -> Vec<u8> {
        let mut field = Vec::new();
        put_message_field(
            &mut field,
            number::VALUE,
            &cluster.codec.values.envelope(value).envelope,
        );
        field
    }

    #[test]
    fn a_justification_for_another_duty_is_refused() {
        let cluster = Cluster::new();
        let value = cluster.value(1);
        let mut other = prepare(&value);
        other.duty = Duty::attester(Slot(41));
        let other = cluster.say(1, other).message.into_inner().message;
        let mut bytes = changed(|message| message.justification.clear());
        put_message_field(&mut bytes, number::JUSTIFICATION, &other.seal);
        let reason = Box::new(Reject::ForeignDuty {
            found: Duty::attester(Slot(41)),
            expected: DUTY,
        });
        assert_eq!(
            hear(&listener(), &bytes),
            Err(Reject::Justification { place: 0, reason })
        );
    }

    #[test]
    fn a_justification_its_author_did_not_sign_is_refused() {
        let bytes = changed(|message| message.justification[1].round = 9);
        let reason = Box::new(Reject::BadSignature {
            author: PeerIndex::new(1),
        });
        assert_eq!(
            hear(&listener(), &bytes),
            Err(Reject::Justification { place: 1, reason })
        );
    }

    #[test]
    fn more_justifications_or_values_than_allowed_are_refused() {
        let many = |count: usize| {
            changed(|message| message.justification = vec![message.justification[0].clone(); count])
        };
        assert!(hear(&listener(), &many(8)).is_ok());
        assert_eq!(
            hear(&listener(), &many(9)),
            Err(Reject::TooManyJustifications { limit: 8 })
        );
        assert_eq!(
            hear(&listener(), &many(90)),
            Err(Reject::TooManyJustifications { limit: 8 })
        );
        let values = |count: usize| {
            changed(|message| message.values = vec![message.values[0].clone(); count])
        };
        assert!(hear(&listener(), &values(8)).is_ok());
        assert_eq!(
            hear(&listener(), &values(9)),
            Err(Reject::TooManyValues { limit: 8 })
        );
    }

    #[test]
    fn values_nobody_refers_to_are_dropped() {
        let cluster = Cluster::new();
        let unused = value_field(&cluster, &cluster.value(2));
        let bytes = [changed(|_| ()), unused].concat();
        let codec = listener();
        assert_eq!(hear(&codec, &bytes).unwrap().values, [cluster.value(1)]);
        assert_eq!(
            hear(&codec, &changed(|message| message.values.clear())),
            Err(missing(&cluster.value(1)))
        );
    }

    fn missing(value: &Value) -> Reject {
        Reject::MissingValue(Root(value.hash))
    }

    #[test]
    fn distant_and_old_duties_are_refused() {
        let bytes = changed(|_| ());
        let at = |slot| {
            listener()
                .decode(&bytes, noon(slot), &chain())
                .map_err(|reject| reject.label())
        };
        assert!(at(Slot(40 + 31)).is_ok());
        assert_eq!(at(Slot(40 + 33)), Err("expired"));
        let mut ahead = prepare(&Cluster::new().value(1));
        ahead.duty = Duty::attester(Slot(96 + 32));
        let bytes = Cluster::new().say(0, ahead).bytes;
        assert_eq!(
            hear(&listener(), &bytes).map_err(|reject| reject.label()),
            Err("too_far_ahead")
        );
    }

    #[test]
    fn kinds_without_agreement_are_told_from_kinds_to_come() {
        let of_kind = |kind| {
            let cluster = Cluster::new();
            let mut draft = prepare(&cluster.value(1));
            draft.duty.kind = kind;
            hear(&listener(), &cluster.say(0, draft).bytes)
        };
        assert_eq!(
            of_kind(DutyKind::Proposer),
            Err(Reject::UnsupportedKind(DutyKind::Proposer))
        );
        assert_eq!(
            of_kind(DutyKind::Exit),
            Err(Reject::NoAgreement(DutyKind::Exit))
        );
    }

    #[test]
    fn a_draft_without_its_value_or_under_a_foreign_key_is_not_sealed() {
        let cluster = Cluster::new();
        let value = cluster.value(1);
        let mut draft = prepare(&value);
        draft.values.clear();
        let error = cluster
            .codec
            .seal(draft, PeerIndex::new(0), &cluster.keys[0])
            .unwrap_err();
        assert_eq!(error, SealError::MissingValue(Root(value.hash)));
        let error = cluster
            .codec
            .seal(prepare(&value), PeerIndex::new(0), &cluster.keys[1])
            .unwrap_err();
        assert_eq!(
            error,
            SealError::Statement(Reject::BadSignature {
                author: PeerIndex::new(0)
            })
        );
    }

    #[test]
    fn a_value_under_a_wrong_hash_is_not_sent() {
        let cluster = Cluster::new();
        let lie = Value {
            hash: [9; 32],
            ..cluster.value(1)
        };
        let error = cluster
            .codec
            .seal(prepare(&lie), PeerIndex::new(0), &cluster.keys[0])
            .unwrap_err();
        assert!(matches!(error, SealError::ForeignHash { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = hear(&listener(), &bytes);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_message_with_one_byte_changed_is_refused_or_says_the_same(place: prop::sample::Index, byte: u8) {
            let cluster = Cluster::new();
            let sealed = cluster.say(0, prepare(&cluster.value(1)));
            let mut bytes = sealed.bytes.to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if let Ok(heard) = hear(&listener(), &bytes) {
                let (heard, said) = (heard.into_inner(), sealed.message.into_inner());
                prop_assert_eq!((heard.duty, heard.values), (said.duty, said.values));
                prop_assert_eq!(QbftMessage { seal: said.message.seal.clone(), ..heard.message }, said.message);
            }
        }
    }
}
