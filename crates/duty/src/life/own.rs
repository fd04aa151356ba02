//! The own share's track: record (S2), sign, send once (S8).

use std::collections::BTreeMap;

use flotilla_types::{
    DutyKind, PublicKeyBytes, Root, SignatureBytes, SignedData, SignedVoluntaryExit, Timestamp,
    VoluntaryExit,
};

use super::{Life, Own};
use crate::engine::Facts;
use crate::io::{Item, Output, Partial, PartialSet, RecordItem};
use crate::kinds::{self, Object, UNSIGNED};
use crate::signatures::Standing;
use crate::slashing::Refusal;

impl Life {
    /// The operator wants a validator to leave. What was signed before stays what it is.
    pub fn on_exit(
        &mut self,
        now: Timestamp,
        validator: PublicKeyBytes,
        message: VoluntaryExit,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.begun = true;
        let exit = SignedVoluntaryExit {
            message,
            signature: UNSIGNED,
        };
        let object = Object::new(SignedData::Exit(exit), facts.chain);
        let state = self.items.entry(Item::whole(validator)).or_default();
        state.expected = true;
        state.mine.get_or_insert(object);
        self.advance(now, facts, out);
    }

    /// Moves the own track on: to the database, to the signer, and what validator clients have handed in to the peers.
    pub(super) fn own(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        self.record(facts, out);
        let ready = self.take_offers(now, facts, out);
        self.send(now, ready, facts, out);
    }

    /// Known what to sign and not paused: to the slashing database, all items in one request (S2), or at once to the signer
    /// where nothing can be slashed.
    fn record(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if facts.paused || (self.fault.is_some() && self.agreement.is_none()) {
            return;
        }
        let (mut votes, mut harmless) = (Vec::new(), Vec::new());
        for (item, state) in &mut self.items {
            let (Some(mine), Own::Idle) = (&state.mine, &state.own) else {
                continue;
            };
            match kinds::vote(mine) {
                Some(vote) => {
                    state.own = Own::Recording;
                    votes.push(RecordItem {
                        validator: item.validator,
                        vote,
                    });
                }
                None => {
                    state.own = Own::Ready;
                    harmless.push((*item, mine.root));
                }
            }
        }
        if !votes.is_empty() {
            out.push(Output::Record {
                duty: self.duty,
                items: votes,
            });
        }
        self.sign(harmless, facts, out);
    }

    /// Asks the built-in signer, for the validators that are its own (S7).
    fn sign(&mut self, mut items: Vec<(Item, Root)>, facts: &Facts<'_>, out: &mut Vec<Output>) {
        items.retain(|(item, _)| facts.builtin.contains(&item.validator));
        if !items.is_empty() {
            out.push(Output::Sign {
                duty: self.duty,
                items,
            });
        }
    }

    /// The database's answer: what is recorded may be signed, what is refused ends here (S2).
    pub fn on_recorded(
        &mut self,
        now: Timestamp,
        results: Vec<(PublicKeyBytes, Result<(), Refusal>)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.stages.recorded.get_or_insert(now);
        let mut items = Vec::new();
        for (validator, result) in results {
            let item = Item::whole(validator);
            let Some(state) = self.items.get_mut(&item) else {
                continue;
            };
            let Some(mine) = state.mine.as_ref().filter(|_| state.own == Own::Recording) else {
                continue;
            };
            #[cfg(feature = "faults")]
            let result = if facts.faults.ignore_database {
                Ok(())
            } else {
                result
            };
            match result {
                Ok(()) if facts.paused => state.own = Own::Idle,
                Ok(()) => {
                    state.own = Own::Ready;
                    items.push((item, mine.root));
                }
                Err(refusal) => state.own = Own::Refused(refusal),
            }
        }
        self.sign(items, facts, out);
        self.advance(now, facts, out);
    }

    /// Our share's signatures. They leave at once, and only once (S8).
    pub fn on_signed(
        &mut self,
        now: Timestamp,
        signatures: Vec<(Item, SignatureBytes)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.send(now, signatures, facts, out);
        self.advance(now, facts, out);
    }

    /// Sends what is ready, a message for each part (spec 30 §2.9): an older peer refuses a second part of a validator, and
    /// with it everything else in its message.
    pub(super) fn send(
        &mut self,
        now: Timestamp,
        signatures: Vec<(Item, SignatureBytes)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let share = facts.cluster.share();
        let mut parts: BTreeMap<u64, BTreeMap<PublicKeyBytes, Partial>> = BTreeMap::new();
        for (item, signature) in signatures {
            let Some(state) = self.items.get_mut(&item) else {
                continue;
            };
            let Some(mine) = state.mine.as_ref().filter(|_| state.own == Own::Ready) else {
                continue;
            };
            if facts.paused {
                state.own = Own::Idle;
                continue;
            }
            let partial = Partial {
                data: mine.signed(signature),
                signing_root: mine.root,
            };
            // Another root under our own share can only be a replay of a twin's signature; ours goes out all the same.
            let _ = state.book.insert(share, partial.clone(), Standing::Claimed);
            state.own = Own::Sent;
            parts
                .entry(item.part)
                .or_default()
                .insert(item.validator, partial);
        }
        for items in parts.into_values() {
            self.stages.signed.get_or_insert(now);
            let set = PartialSet {
                duty: self.duty,
                share,
                items,
            };
            if self.duty.kind == DutyKind::Exit {
                out.push(Output::Keep(set.clone()));
            }
            out.push(Output::SendPartials(set));
        }
    }

    /// Sends what was sent before once more, unchanged, to peers that may have been away: for duties without deadline.
    pub fn resend(&self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        // S11: nothing leaves while signing is paused.
        if facts.paused || self.ended {
            return;
        }
        let share = facts.cluster.share();
        let items: BTreeMap<PublicKeyBytes, Partial> = self
            .items
            .iter()
            .filter(|(_, state)| state.own == Own::Sent && !state.ended())
            .filter_map(|(item, state)| Some((item.validator, state.book.of(share)?.clone())))
            .collect();
        if !items.is_empty() {
            out.push(Output::SendPartials(PartialSet {
                duty: self.duty,
                share,
                items,
            }));
        }
    }

    /// Our own partial signatures of an earlier run.
    pub fn on_kept(
        &mut self,
        now: Timestamp,
        set: PartialSet,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.begun = true;
        for (validator, partial) in set.items {
            let item = Item::of(validator, &partial.data);
            let state = self.items.entry(item).or_default();
            state.expected = true;
            state.mine = Some(Object::new(partial.data.clone(), facts.chain));
            state.own = Own::Sent;
            let _ = state.book.insert(set.share, partial, Standing::Claimed);
        }
        self.advance(now, facts, out);
    }
}
