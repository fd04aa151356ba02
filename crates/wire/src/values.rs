//! Values of the agreement: sets of unsigned data in their envelope (`Any`), and a memory of the last ones.
//!
//! Every message of an instance carries its whole value, for hundreds of validators, and all messages but the first carry
//! one that is known. So a value is decoded and hashed once, and its envelope is built once. The memory also keeps the
//! bytes a value was first seen in: a set's data may be written in more than one way, and the hash is over the bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use flotilla_duty::io::{UnsignedSet, Value};
use flotilla_qbft::Hash;
use flotilla_types::{DecodeError, DutyKind, ListSizes, PublicKeyBytes, UnsignedData};

use crate::fields::{Content, Field, fields, map_entries, put_bytes_field, put_message_field};
use crate::hash::hash_bytes;
use crate::reject::Reject;

/// What a value's type is called on the wire. Receivers look at the part behind the last slash.
const TYPE_URL: &str = "type.googleapis.com/core.corepb.v1.UnsignedDataSet";
/// The type of a value that is a set of unsigned data.
const SET_TYPE: &str = "core.corepb.v1.UnsignedDataSet";
/// A foreign text in an error is cut at this many characters.
const SHOWN_CHARACTERS: usize = 128;
/// Values remembered. A duty has one value for each proposer at most, and few duties run at once.
const REMEMBERED_VALUES: usize = 64;
/// Bytes of envelopes remembered; the newest is kept whatever its size.
const REMEMBERED_BYTES: usize = 64 << 20;

/// A value with the envelope it travels in.
#[derive(Clone, Debug)]
pub(crate) struct Enveloped {
    pub value: Value,
    /// The whole `Any`, canonical.
    pub envelope: Bytes,
    /// The set inside `envelope`.
    set: Bytes,
}

/// The memory of the last values, on a chain with these list sizes.
#[derive(Debug)]
pub(crate) struct Values {
    sizes: ListSizes,
    memory: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    newest_first: VecDeque<Enveloped>,
    bytes: usize,
}

impl Values {
    pub(crate) fn new(sizes: ListSizes) -> Self {
        Self {
            sizes,
            memory: Mutex::default(),
        }
    }

    /// Reads one `Any` of a duty of this kind. Nothing is remembered yet: a message with good signatures may carry values
    /// that nobody refers to.
    pub(crate) fn read(&self, kind: DutyKind, any: &[u8]) -> Result<Enveloped, Reject> {
        let received = set_of(any)?;
        if let Some(known) = self.find(|known| known.is(kind, received)) {
            return Ok(known);
        }
        let entries = read_entries(received)?;
        let canonical = encode_entries(entries.iter().map(|(key, data)| (key, *data)));
        if let Some(known) = self.find(|known| known.is(kind, &canonical)) {
            return Ok(known);
        }
        let set: UnsignedSet = entries
            .into_iter()
            .map(|(key, data)| decode_entry(kind, key, data, &self.sizes))
            .collect::<Result<_, _>>()?;
        Ok(Enveloped::new(Arc::new(set), canonical))
    }

    /// The envelope of a value, from memory or encoded anew. The hash of a new one is its own, whatever `value` says.
    pub(crate) fn envelope(&self, value: &Value) -> Enveloped {
        self.find(|known| known.value == *value)
            .unwrap_or_else(|| Enveloped::of(value.set.clone()))
    }

    /// Keeps a value for the next messages.
    pub(crate) fn remember(&self, enveloped: Enveloped) {
        let mut memory = self.memory();
        if memory
            .newest_first
            .iter()
            .any(|known| known.value == enveloped.value)
        {
            return;
        }
        memory.bytes += enveloped.envelope.len();
        memory.newest_first.push_front(enveloped);
        while memory.newest_first.len() > 1
            && (memory.newest_first.len() > REMEMBERED_VALUES || memory.bytes > REMEMBERED_BYTES)
        {
            let oldest = memory.newest_first.pop_back();
            memory.bytes -= oldest.map_or(0, |oldest| oldest.envelope.len());
        }
    }

    fn find(&self, is_it: impl Fn(&Enveloped) -> bool) -> Option<Enveloped> {
        self.memory()
            .newest_first
            .iter()
            .find(|known| is_it(known))
            .cloned()
    }

    fn memory(&self) -> MutexGuard<'_, Remembered> {
        // Nothing panics while it holds the lock; if something did, a memory is still only a memory.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Enveloped {
    /// Encodes and hashes a set of ours.
    pub(crate) fn of(set: Arc<UnsignedSet>) -> Self {
        let entries: Vec<_> = set
            .iter()
            .map(|(key, data)| (*key, data.encode()))
            .collect();
        let canonical = encode_entries(entries.iter().map(|(key, data)| (key, data.as_slice())));
        Self::new(set, canonical)
    }

    /// Whether it is this set, read as data of this kind.
    fn is(&self, kind: DutyKind, set: &[u8]) -> bool {
        let first = self.value.set.values().next();
        self.set == set && first.is_some_and(|data| data.kind() == kind)
    }

    fn new(set: Arc<UnsignedSet>, canonical: Vec<u8>) -> Self {
        let mut envelope = Vec::with_capacity(canonical.len() + 72);
        put_bytes_field(&mut envelope, 1, TYPE_URL.as_bytes());
        put_bytes_field(&mut envelope, 2, &canonical);
        let envelope = Bytes::from(envelope);
        let inner = envelope.slice(envelope.len() - canonical.len()..);
        Self {
            value: Value {
                hash: hash_bytes(&canonical),
                set,
            },
            envelope,
            set: inner,
        }
    }
}

/// The hash that stands for these unsigned data in an agreement; zero if there are none.
#[must_use]
pub fn value_hash(set: &UnsignedSet) -> Hash {
    Enveloped::of(Arc::new(set.clone())).value.hash
}

/// The set inside an `Any`.
fn set_of(any: &[u8]) -> Result<&[u8], Reject> {
    let (mut type_url, mut set): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(any) {
        match field? {
            Field {
                number: 1,
                content: Content::Bytes(bytes),
                ..
            } => type_url = bytes,
            Field {
                number: 2,
                content: Content::Bytes(bytes),
                ..
            } => set = bytes,
            _ => {}
        }
    }
    let type_url = str::from_utf8(type_url).map_err(|_| Reject::Malformed("type URL"))?;
    // Without a slash the whole text is the name; the others read it so too.
    match type_url.rsplit('/').next() {
        Some(SET_TYPE) => Ok(set),
        _ => Err(Reject::ValueType(shown(type_url))),
    }
}

/// The entries of a set, which must have some, and none empty (spec 20 §3.3).
fn read_entries(set: &[u8]) -> Result<BTreeMap<PublicKeyBytes, &[u8]>, Reject> {
    let mut entries = BTreeMap::new();
    for entry in map_entries(set) {
        let (key, data) = entry?;
        entries.insert(read_key(key)?, data);
    }
    if entries.is_empty() {
        return Err(Reject::EmptySet);
    }
    Ok(entries)
}

fn decode_entry(
    kind: DutyKind,
    key: PublicKeyBytes,
    data: &[u8],
    sizes: &ListSizes,
) -> Result<(PublicKeyBytes, UnsignedData), Reject> {
    if data.is_empty() {
        let error = DecodeError::Length {
            what: "unsigned data",
            expected: 1,
            got: 0,
        };
        return Err(Reject::Data {
            validator: key,
            error,
        });
    }
    UnsignedData::decode(kind, data, sizes)
        .map(|data| (key, data))
        .map_err(|error| Reject::Data {
            validator: key,
            error,
        })
}

/// The deterministic encoding: public keys ascend as their texts do.
fn encode_entries<'a>(entries: impl Iterator<Item = (&'a PublicKeyBytes, &'a [u8])>) -> Vec<u8> {
    let (mut out, mut entry) = (Vec::new(), Vec::new());
    for (key, data) in entries {
        entry.clear();
        put_message_field(&mut entry, 1, key.to_string().as_bytes());
        put_message_field(&mut entry, 2, data);
        put_message_field(&mut out, 1, &entry);
    }
    out
}

/// A validator's key in its one form on the wire. Another form would be another key to the other nodes.
pub(crate) fn read_key(text: &[u8]) -> Result<PublicKeyBytes, Reject> {
    let mut key = PublicKeyBytes::default();
    text.strip_prefix(b"0x")
        .filter(|digits| !digits.iter().any(u8::is_ascii_uppercase))
        .and_then(|digits| hex::decode_to_slice(digits, &mut key.0).ok())
        .map(|()| key)
        .ok_or_else(|| Reject::ValidatorKey(shown(&String::from_utf8_lossy(text))))
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use flotilla_types::AttesterValue;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::proto::core;

    fn set(keys: impl IntoIterator<Item = u8>) -> UnsignedSet {
        keys.into_iter()
            .map(|key| {
                (
                    PublicKeyBytes([key; 48]),
                    UnsignedData::Attester(AttesterValue::default()),
                )
            })
            .collect()
    }

    #[test]
    fn our_encoding_is_that_of_prost_with_ordered_maps() {
        let enveloped = Enveloped::of(Arc::new(set([9, 1, 200])));
        let any = prost_types::Any::decode(enveloped.envelope.clone()).unwrap();
        assert_eq!(any.type_url, TYPE_URL);
        let decoded = core::UnsignedDataSet::decode(&*any.value).unwrap();
        assert_eq!(decoded.set.len(), 3);
        assert_eq!(decoded.encode_to_vec(), any.value);
        assert_eq!(enveloped.set, any.value);
    }

    #[test]
    fn entries_in_another_order_are_the_same_value() {
        let [one, two] = [1, 2].map(|key| Enveloped::of(Arc::new(set([key]))).set);
        let both = Enveloped::of(Arc::new(set([1, 2])));
        let mut any = Vec::new();
        put_bytes_field(&mut any, 1, b"example.com/core.corepb.v1.UnsignedDataSet");
        put_bytes_field(&mut any, 2, &[two, one].concat());
        let values = Values::new(ListSizes::MAINNET);
        for _ in 0..2 {
            let read = values.read(DutyKind::Attester, &any).unwrap();
            assert_eq!(read.value, both.value);
            assert_eq!(read.envelope, both.envelope);
            values.remember(read);
        }
        assert_eq!(values.memory().newest_first.len(), 1);
    }

    #[test]
    fn a_value_keeps_the_bytes_its_hash_is_over() {
        let json = serde_json::json!({
            "attestation_data": {"slot": "1", "index": "0", "beacon_block_root": flotilla_types::Root::default(),
                "source": {"epoch": "0", "root": flotilla_types::Root::default()},
                "target": {"epoch": "0", "root": flotilla_types::Root::default()}},
            "attestation_duty": {"pubkey": PublicKeyBytes([1; 48]), "slot": "1", "validator_index": "5",
                "committee_index": "0", "committee_length": "1", "committees_at_slot": "1",
                "validator_committee_index": "0"},
        });
        let canonical =
            encode_entries([(&PublicKeyBytes([1; 48]), json.to_string().as_bytes())].into_iter());
        let mut any = Vec::new();
        put_bytes_field(&mut any, 1, TYPE_URL.as_bytes());
        put_bytes_field(&mut any, 2, &canonical);
        let values = Values::new(ListSizes::MAINNET);
        let read = values.read(DutyKind::Attester, &any).unwrap();
        assert_eq!(read.value.hash, hash_bytes(&canonical));
        assert_ne!(read.value.hash, value_hash(&read.value.set));
        values.remember(read.clone());
        assert_eq!(values.envelope(&read.value).envelope, any);
    }

    #[test]
    fn empty_sets_and_empty_entries_are_refused() {
        let any = |set: &[u8]| {
            let mut any = Vec::new();
            put_bytes_field(&mut any, 1, TYPE_URL.as_bytes());
            put_bytes_field(&mut any, 2, set);
            any
        };
        let values = Values::new(ListSizes::MAINNET);
        assert_eq!(
            values.read(DutyKind::Attester, &any(&[])).unwrap_err(),
            Reject::EmptySet
        );
        let empty = encode_entries([(&PublicKeyBytes([1; 48]), &[][..])].into_iter());
        assert_eq!(
            values
                .read(DutyKind::Attester, &any(&empty))
                .unwrap_err()
                .label(),
            "data"
        );
    }

    #[test]
    fn a_known_value_is_read_as_its_own_kind_only() {
        let values = Values::new(ListSizes::MAINNET);
        let enveloped = Enveloped::of(Arc::new(set([1])));
        values.remember(enveloped.clone());
        assert!(values.read(DutyKind::Attester, &enveloped.envelope).is_ok());
        let other = values.read(DutyKind::Aggregator, &enveloped.envelope);
        assert_eq!(other.unwrap_err().label(), "data");
    }

    #[test]
    fn keys_have_one_form() {
        let good = PublicKeyBytes([0xab; 48]).to_string();
        assert_eq!(read_key(good.as_bytes()), Ok(PublicKeyBytes([0xab; 48])));
        for bad in [
            &good.to_uppercase(),
            &good[2..],
            &good[..96],
            "",
            &format!("{good}00"),
        ] {
            assert!(read_key(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_memory_is_bounded() {
        let values = Values::new(ListSizes::MAINNET);
        for key in 0..=u8::MAX {
            values.remember(Enveloped::of(Arc::new(set([key]))));
        }
        let memory = values.memory();
        assert_eq!(memory.newest_first.len(), REMEMBERED_VALUES);
        assert_eq!(
            memory.bytes,
            memory
                .newest_first
                .iter()
                .map(|known| known.envelope.len())
                .sum::<usize>()
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let values = Values::new(ListSizes::MAINNET);
            for &kind in DutyKind::ALL {
                let _ = values.read(kind, &bytes);
            }
            let _ = read_entries(&bytes);
        }

        #[test]
        fn what_is_encoded_is_decoded(keys in proptest::collection::btree_set(any::<u8>(), 1..20)) {
            let enveloped = Enveloped::of(Arc::new(set(keys)));
            let read = Values::new(ListSizes::MAINNET).read(DutyKind::Attester, &enveloped.envelope).unwrap();
            prop_assert_eq!(read.value, enveloped.value);
        }
    }
}
