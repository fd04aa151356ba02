//! What this node knows by itself of one duty: the beacon node's assignments, what other duties have brought, and what the
//! own beacon nodes said of the chain. Values are weighed against it (S1).

use std::collections::BTreeMap;

use flotilla_types::{AttestationData, Duty, PublicKeyBytes, Root, SignatureBytes, SignedData};

use crate::engine::Facts;
use crate::guard::{self, Question, Verdict};
use crate::io::{Item, Output, UnsignedSet};
use crate::kinds::{self, Object};
use crate::outcome::ValueFault;
use crate::schedule::Definitions;

/// Results of other duties of the same slot that this duty builds on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lessons {
    /// The group's reveals of randomness, for a proposal.
    pub randao: BTreeMap<PublicKeyBytes, SignatureBytes>,
    /// The group's selection proofs, for aggregations and contributions.
    pub selections: BTreeMap<Item, SignatureBytes>,
    /// What was attested, for aggregations.
    pub attested: BTreeMap<PublicKeyBytes, AttestationData>,
    /// The head that was signed, for contributions.
    pub heads: BTreeMap<PublicKeyBytes, Root>,
}

/// How a value looks from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// It may be signed.
    Good,
    /// Something is still being asked, or on its way.
    Open,
    /// It must not be signed.
    Bad(ValueFault),
}

/// What this node knows by itself of one duty.
#[derive(Debug)]
pub(crate) struct Knowledge {
    /// The duty.
    pub duty: Duty,
    /// Our beacon node's assignments; empty while they are not known.
    pub definitions: Definitions,
    /// Whether they are known: that there are none is known as well, then.
    pub listed: bool,
    /// What other duties have brought.
    pub lessons: Lessons,
    /// What was asked of the own beacon nodes; bounded by the number of values that peers may bring.
    examined: BTreeMap<Question, Option<Verdict>>,
}

impl Knowledge {
    /// Of a duty of which nothing is known.
    pub fn new(duty: Duty) -> Self {
        Self {
            duty,
            definitions: Definitions::new(),
            listed: false,
            lessons: Lessons::default(),
            examined: BTreeMap::new(),
        }
    }

    /// Takes what other duties have brought; whether anything was new.
    pub fn learn(&mut self, lessons: Lessons) -> bool {
        let new = self.lessons != lessons;
        self.lessons = lessons;
        new
    }

    /// Takes the own beacon nodes' answer.
    pub fn examined(&mut self, question: Question, verdict: Verdict) {
        if let Some(open) = self.examined.get_mut(&question) {
            *open = Some(verdict);
        }
    }

    /// S1 and the chain-split guard. Asks the own beacon nodes what they have not said yet.
    pub fn weigh(
        &mut self,
        set: &UnsignedSet,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) -> Weighed {
        if let Err(fault) = kinds::check_value(set, self, facts) {
            return match fault {
                ValueFault::RandaoUnknown => Weighed::Open,
                fault => Weighed::Bad(fault),
            };
        }
        let mut weighed = Weighed::Good;
        for question in guard::questions(set) {
            match self.ask(question, facts, out) {
                Weighed::Good => {}
                Weighed::Open => weighed = Weighed::Open,
                bad => return bad,
            }
        }
        weighed
    }

    /// Whether a value that may be signed is also voted for: not beside another target of our own beacon nodes, unless these say
    /// that it fits.
    pub fn vouches_for(&self, set: &UnsignedSet, facts: &Facts<'_>) -> bool {
        guard::questions(set).iter().all(|question| {
            let fits = self.examined.get(question) == Some(&Some(Verdict::Fits));
            fits || !facts.guard.has_other_target(question)
        })
    }

    /// The same for one validator's object that partial signatures have proven to be decided (S8): the object to sign.
    pub fn weigh_proven(
        &mut self,
        validator: &PublicKeyBytes,
        data: &SignedData,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) -> Result<Object, Weighed> {
        let object = match kinds::adopt(validator, data, self, facts) {
            Ok(object) => object,
            Err(ValueFault::RandaoUnknown) => return Err(Weighed::Open),
            Err(fault) => return Err(Weighed::Bad(fault)),
        };
        match guard::question_of(data).map(|question| self.ask(question, facts, out)) {
            None | Some(Weighed::Good) => Ok(object),
            Some(weighed) => Err(weighed),
        }
    }

    fn ask(&mut self, question: Question, facts: &Facts<'_>, out: &mut Vec<Output>) -> Weighed {
        #[cfg(feature = "faults")]
        if facts.faults.ignore_guard {
            return Weighed::Good;
        }
        if facts.guard.knows(&question) {
            return Weighed::Good;
        }
        match self.examined.get(&question) {
            Some(Some(verdict)) if facts.guard.permits(&question, *verdict) => Weighed::Good,
            Some(Some(_)) => Weighed::Bad(ValueFault::OtherChain),
            Some(None) => Weighed::Open,
            None => {
                self.examined.insert(question, None);
                out.push(Output::Examine {
                    duty: self.duty,
                    question,
                });
                Weighed::Open
            }
        }
    }
}
