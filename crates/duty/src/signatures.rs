//! The signature book: which share has signed which root, for one validator and one duty.
//!
//! Signatures arrive *claimed*: bound to their sender, not yet checked. One root per share is kept and counted, never filtered
//! by our own decision (S8), so that f + 1 shares which check out prove a decision we have not reached ourselves.

use std::collections::BTreeMap;

use flotilla_crypto::ShareIndex;
use flotilla_types::{Root, SignatureBytes, SignedData};

use crate::io::{Claim, Item, Partial};

/// How far a signature is to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not checked yet.
    Claimed,
    /// Verified under the share's public key.
    Good,
    /// Does not verify.
    Bad,
}

#[derive(Debug)]
struct Entry {
    partial: Partial,
    standing: Standing,
}

/// At most one signature per share: bounded by the number of nodes.
#[derive(Debug, Default)]
pub(crate) struct SignatureBook {
    entries: BTreeMap<ShareIndex, Entry>,
}

impl SignatureBook {
    /// Keeps a share's signature. `Err` when the share has signed another root before; the first one stays.
    pub fn insert(
        &mut self,
        share: ShareIndex,
        partial: Partial,
        standing: Standing,
    ) -> Result<(), SecondRoot> {
        match self.entries.get_mut(&share) {
            Some(known) if known.partial.signing_root != partial.signing_root => Err(SecondRoot),
            Some(known) => {
                if standing == Standing::Good {
                    known.standing = Standing::Good;
                    known.partial = partial;
                }
                Ok(())
            }
            None => {
                self.entries.insert(share, Entry { partial, standing });
                Ok(())
            }
        }
    }

    /// Notes what a check found. Only the signature that was checked is marked.
    pub fn mark(
        &mut self,
        share: ShareIndex,
        signature: Option<SignatureBytes>,
        standing: Standing,
    ) {
        if let Some(entry) = self.entries.get_mut(&share)
            && signature.is_none_or(|checked| *entry.partial.data.signature() == checked)
        {
            entry.standing = standing;
        }
    }

    /// Usable signatures over `root`: claimed or good, good ones first.
    pub fn usable(&self, root: Root) -> Vec<(ShareIndex, SignatureBytes)> {
        let of = |wanted: Standing| {
            self.over(root)
                .filter(move |(_, entry)| entry.standing == wanted)
                .map(|(share, entry)| (share, *entry.partial.data.signature()))
        };
        of(Standing::Good).chain(of(Standing::Claimed)).collect()
    }

    /// Shares whose signature over `root` may still be good.
    pub fn shares(&self, root: Root) -> impl Iterator<Item = ShareIndex> + '_ {
        self.over(root)
            .filter(|(_, entry)| entry.standing != Standing::Bad)
            .map(|(share, _)| share)
    }

    /// The shares that signed the root with the most of them.
    pub fn largest(&self) -> impl Iterator<Item = ShareIndex> + '_ {
        let root = self.roots().max_by_key(|&root| self.shares(root).count());
        root.into_iter().flat_map(|root| self.shares(root))
    }

    /// Shares whose signature does not verify.
    pub fn bad(&self) -> impl Iterator<Item = ShareIndex> + '_ {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.standing == Standing::Bad)
            .map(|(&share, _)| share)
    }

    /// A root over which at least `count` shares may have signed, and the claims that must be checked to prove it (S8).
    pub fn contender(&self, item: Item, count: usize) -> Option<(Root, Vec<Claim>)> {
        let root = self
            .roots()
            .find(|&root| self.shares(root).count() >= count)?;
        let claims = self
            .over(root)
            .filter(|(_, entry)| entry.standing == Standing::Claimed)
            .map(|(share, entry)| Claim {
                item,
                share,
                signature: *entry.partial.data.signature(),
            })
            .collect();
        Some((root, claims))
    }

    /// A root over which at least `count` shares have verifiably signed, and the object they signed.
    pub fn proven(&self, count: usize) -> Option<&Partial> {
        let good = |root: Root| {
            self.over(root)
                .filter(|(_, entry)| entry.standing == Standing::Good)
        };
        let root = self.roots().find(|&root| good(root).count() >= count)?;
        good(root).next().map(|(_, entry)| &entry.partial)
    }

    /// The object that shares signed under this root: the first that names the validator most exactly (spec 30 §5.4).
    pub fn sample(&self, root: Root) -> Option<&SignedData> {
        let mut objects = self.over(root).map(|(_, entry)| &entry.partial.data);
        let first = objects.next()?;
        let whole = |data: &&SignedData| {
            data.attester()
                .is_none_or(|signed| signed.validator_index.is_some())
        };
        Some(
            std::iter::once(first)
                .chain(objects)
                .find(whole)
                .unwrap_or(first),
        )
    }

    /// What our own or another share has signed.
    pub fn of(&self, share: ShareIndex) -> Option<&Partial> {
        self.entries.get(&share).map(|entry| &entry.partial)
    }

    /// Forgets everything, once the duty has ended.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    fn over(&self, root: Root) -> impl Iterator<Item = (ShareIndex, &Entry)> + '_ {
        self.entries
            .iter()
            .filter(move |(_, entry)| entry.partial.signing_root == root)
            .map(|(&share, entry)| (share, entry))
    }

    fn roots(&self) -> impl Iterator<Item = Root> + '_ {
        self.entries
            .values()
            .map(|entry| entry.partial.signing_root)
    }
}

/// A share signed a second root for one duty and validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SecondRoot;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_types::{
        AttestationData, AttesterDuty, AttesterValue, Checkpoint, CommitteeIndex, Epoch, Fork,
        PublicKeyBytes, SignedAttestation, SignedData, Slot, ValidatorIndex,
    };

    use super::*;

    const VALIDATOR: PublicKeyBytes = PublicKeyBytes([9; 48]);

    fn share(number: u64) -> ShareIndex {
        ShareIndex::new(number).unwrap()
    }

    fn partial(root: u8, signature: u8) -> Partial {
        let checkpoint = Checkpoint {
            epoch: Epoch(1),
            root: Root([1; 32]),
        };
        let data = AttestationData {
            slot: Slot(40),
            index: CommitteeIndex(0),
            beacon_block_root: Root([root; 32]),
            source: checkpoint,
            target: checkpoint,
        };
        let duty = AttesterDuty {
            pubkey: VALIDATOR,
            slot: Slot(40),
            validator_index: ValidatorIndex(5),
            committee_index: CommitteeIndex(2),
            committee_length: 8,
            committees_at_slot: 4,
            validator_committee_index: 3,
        };
        let signed = SignedAttestation::from_value(
            &AttesterValue { data, duty },
            Fork::Fulu,
            SignatureBytes([signature; 96]),
        );
        Partial {
            data: SignedData::Attester(signed.unwrap()),
            signing_root: Root([root; 32]),
        }
    }

    #[test]
    fn a_second_root_of_a_share_is_refused_and_the_first_one_stays() {
        let mut book = SignatureBook::default();
        assert_eq!(
            book.insert(share(1), partial(1, 1), Standing::Claimed),
            Ok(())
        );
        assert_eq!(
            book.insert(share(1), partial(2, 1), Standing::Claimed),
            Err(SecondRoot)
        );
        assert_eq!(
            book.insert(share(1), partial(1, 1), Standing::Claimed),
            Ok(())
        );
        assert_eq!(book.usable(Root([1; 32])).len(), 1);
        assert!(book.usable(Root([2; 32])).is_empty());
    }

    #[test]
    fn claims_are_no_proof_and_verified_shares_are() {
        let mut book = SignatureBook::default();
        for number in 1..=2 {
            book.insert(share(number), partial(1, number as u8), Standing::Claimed)
                .unwrap();
        }
        assert!(book.proven(2).is_none());
        let (root, claims) = book.contender(Item::whole(VALIDATOR), 2).unwrap();
        assert_eq!((root, claims.len()), (Root([1; 32]), 2));
        for claim in &claims {
            book.mark(claim.share, Some(claim.signature), Standing::Good);
        }
        assert_eq!(book.proven(2).unwrap().signing_root, Root([1; 32]));
        assert!(book.proven(3).is_none());
    }

    #[test]
    fn bad_signatures_count_for_nothing_and_good_ones_come_first() {
        let mut book = SignatureBook::default();
        for number in 1..=3 {
            book.insert(share(number), partial(1, number as u8), Standing::Claimed)
                .unwrap();
        }
        book.mark(share(1), None, Standing::Bad);
        book.mark(share(3), None, Standing::Good);
        let usable: Vec<u16> = book
            .usable(Root([1; 32]))
            .iter()
            .map(|(share, _)| share.get())
            .collect();
        assert_eq!(usable, [3, 2]);
        assert_eq!(book.bad().collect::<Vec<_>>(), [share(1)]);
        assert_eq!(book.shares(Root([1; 32])).count(), 2);
    }

    #[test]
    fn a_verdict_marks_only_the_signature_that_was_checked() {
        let mut book = SignatureBook::default();
        book.insert(share(1), partial(1, 1), Standing::Claimed)
            .unwrap();
        book.mark(share(1), Some(SignatureBytes([7; 96])), Standing::Bad);
        assert_eq!(book.bad().count(), 0);
    }
}
