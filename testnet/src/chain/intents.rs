//! What validators have said ahead of proposals, and who has left.

use std::collections::BTreeMap;

use flotilla_types::{Epoch, ExecutionAddress, ValidatorIndex, ValidatorRegistration};

/// From an exit's arrival to the epoch in which the validator is gone: the duties of the current and the next epoch
/// are known already.
const EXIT_EPOCHS: u64 = 2;

/// Fee recipients, registrations and exits, by validator. Only validators of the cluster get in, so this is bounded.
#[derive(Clone, Debug, Default)]
pub struct Intents {
    prepared: BTreeMap<(ValidatorIndex, usize), ExecutionAddress>,
    registered: BTreeMap<ValidatorIndex, ValidatorRegistration>,
    exits: BTreeMap<ValidatorIndex, Epoch>,
}

impl Intents {
    /// An endpoint was told whom to pay.
    pub fn prepare(&mut self, endpoint: usize, validator: ValidatorIndex, to: ExecutionAddress) {
        self.prepared.insert((validator, endpoint), to);
    }

    /// Whom an endpoint was told to pay.
    pub fn prepared(&self, endpoint: usize, validator: ValidatorIndex) -> Option<ExecutionAddress> {
        self.prepared.get(&(validator, endpoint)).copied()
    }

    /// Whether any endpoint was told to pay this address.
    pub fn is_prepared(&self, validator: ValidatorIndex, to: ExecutionAddress) -> bool {
        self.prepared
            .range((validator, 0)..=(validator, usize::MAX))
            .any(|(_, address)| *address == to)
    }

    /// A registration with the builder; an older one than what is there changes nothing.
    pub fn register(&mut self, validator: ValidatorIndex, registration: ValidatorRegistration) {
        let newest = self.registered.entry(validator).or_insert(registration);
        if registration.timestamp >= newest.timestamp {
            *newest = registration;
        }
    }

    /// What the builder knows of a validator.
    pub fn registered(&self, validator: ValidatorIndex) -> Option<&ValidatorRegistration> {
        self.registered.get(&validator)
    }

    /// A validator leaves. Returns the epoch in which it is gone, or `None` if it was leaving already.
    pub fn exit(&mut self, validator: ValidatorIndex, current: Epoch) -> Option<Epoch> {
        if self.exits.contains_key(&validator) {
            return None;
        }
        let epoch = Epoch(current.0.saturating_add(EXIT_EPOCHS));
        self.exits.insert(validator, epoch);
        Some(epoch)
    }

    /// The epoch from which a validator is gone, if it has said that it leaves.
    pub fn exit_epoch(&self, validator: ValidatorIndex) -> Option<Epoch> {
        self.exits.get(&validator).copied()
    }

    /// Whether a validator still has duties in an epoch.
    pub fn is_active(&self, validator: ValidatorIndex, epoch: Epoch) -> bool {
        self.exit_epoch(validator).is_none_or(|exit| epoch < exit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V: ValidatorIndex = ValidatorIndex(3);

    #[test]
    fn a_validator_leaves_once_and_two_epochs_later() {
        let mut intents = Intents::default();
        assert_eq!(intents.exit(V, Epoch(5)), Some(Epoch(7)));
        assert_eq!(intents.exit(V, Epoch(6)), None);
        assert!(intents.is_active(V, Epoch(6)) && !intents.is_active(V, Epoch(7)));
    }

    #[test]
    fn endpoints_are_prepared_apart() {
        let mut intents = Intents::default();
        let (one, two) = (ExecutionAddress([1; 20]), ExecutionAddress([2; 20]));
        intents.prepare(0, V, one);
        intents.prepare(1, V, two);
        assert_eq!(intents.prepared(0, V), Some(one));
        assert_eq!(intents.prepared(2, V), None);
        assert!(intents.is_prepared(V, two) && !intents.is_prepared(ValidatorIndex(4), two));
    }

    #[test]
    fn an_older_registration_changes_nothing() {
        let mut intents = Intents::default();
        let of = |timestamp, recipient| ValidatorRegistration {
            timestamp,
            fee_recipient: ExecutionAddress([recipient; 20]),
            ..ValidatorRegistration::default()
        };
        intents.register(V, of(5, 1));
        intents.register(V, of(4, 2));
        assert_eq!(intents.registered(V), Some(&of(5, 1)));
        intents.register(V, of(6, 3));
        assert_eq!(intents.registered(V), Some(&of(6, 3)));
    }
}
