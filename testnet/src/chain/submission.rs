//! The one way in which anything that is brought gets into the chain.
//!
//! Whatever its kind, it goes through the same three steps: which signatures must hold ([`Submission::claims`]), what of it
//! counts for slashing ([`Submission::witness`]), and whether the chain takes it ([`Submission::place`]). Between the first
//! and the others the signatures are checked, elsewhere.

use flotilla_types::{
    DomainType, DutyKind, Epoch, Root, SignatureBytes, Timestamp, ValidatorIndex, signing_root,
};

use super::{Arrival, Claim, Fault, Judgement, World};

/// Something brought to a beacon node.
pub trait Submission {
    /// The kind of duty it fulfils.
    const KIND: DutyKind;

    /// Whose it is.
    fn validator(&self) -> ValidatorIndex;

    /// The signatures that must hold, each with the fault if it does not; the validator's own over the whole first.
    ///
    /// # Errors
    /// It is wrong whatever the signatures are.
    fn claims(&self, world: &mut World, now: Timestamp) -> Result<Vec<(Claim, Fault)>, Fault>;

    /// The validator has signed this, acceptable or not.
    fn witness(&self, _world: &mut World) {}

    /// Takes it into the chain, if it is what the chain expects. All its signatures hold.
    ///
    /// # Errors
    /// Why it is refused.
    fn place(
        &self,
        world: &mut World,
        now: Timestamp,
        arrival: Arrival,
    ) -> Result<Judgement, Fault>;
}

/// What came of checking a submission's signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The validator's own signature holds.
    pub witnessed: bool,
    /// The first fault, if there is one.
    pub fault: Option<Fault>,
}

impl World {
    /// The claim that a validator has signed something.
    pub(super) fn claim(
        &self,
        validator: ValidatorIndex,
        (domain, epoch): (DomainType, Epoch),
        object: Root,
        signature: SignatureBytes,
    ) -> Claim {
        let domain = self.chain().domain(domain, epoch);
        Claim {
            signing_root: signing_root(object, domain),
            signers: vec![validator],
            signature,
        }
    }

    /// The signatures that must hold for a submission.
    ///
    /// # Errors
    /// It is wrong whatever the signatures are.
    pub fn claims<S: Submission>(
        &mut self,
        item: &S,
        now: Timestamp,
    ) -> Result<Vec<(Claim, Fault)>, Fault> {
        let validator = item.validator();
        if self.registry.key(validator).is_none() {
            return Err(Fault::UnknownValidator(validator.0));
        }
        item.claims(self, now)
    }

    /// Judges a submission and books it.
    pub fn book<S: Submission>(
        &mut self,
        item: &S,
        now: Timestamp,
        arrival: Arrival,
        verdict: Verdict,
    ) -> Judgement {
        if verdict.witnessed {
            item.witness(self);
        }
        let judgement = match verdict.fault {
            Some(fault) => Judgement::Refused(fault),
            None => item
                .place(self, now, arrival)
                .unwrap_or_else(Judgement::Refused),
        };
        self.count(S::KIND, judgement);
        judgement
    }

    fn count(&mut self, kind: DutyKind, judgement: Judgement) {
        if let Judgement::Refused(fault) = judgement {
            self.reject(kind, fault.label());
            return;
        }
        let counts = self.totals.kinds.entry(kind.name()).or_default();
        if judgement == Judgement::Duplicate {
            counts.duplicates += 1;
            self.totals.duplicates += 1;
        } else {
            counts.accepted += 1;
        }
    }

    /// Counts a submission that was refused.
    pub fn reject(&mut self, kind: DutyKind, fault: &'static str) {
        self.totals.rejected += 1;
        self.totals.kinds.entry(kind.name()).or_default().rejected += 1;
        *self.totals.faults.entry(fault).or_default() += 1;
    }

    /// Counts one that was accepted without being judged by [`Self::book`].
    pub fn accept(&mut self, kind: DutyKind) {
        self.count(kind, Judgement::Included);
    }
}
