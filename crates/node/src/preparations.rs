//! What the beacon node is told ahead of proposals: who receives the fees of each validator's blocks, and, with the builder API, the
//! registrations that builders go by.
//!
//! Registrations are signed when the cluster is made (they stand in the lock) or later by a threshold of operators (they stand in the
//! overrides file); nothing is signed here. The newest counts, and every signature is checked before it does. A beacon node forgets:
//! it is told again before every epoch, and when the overrides file has changed; late in a slot, when the slot's duties are done.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use flotilla_beacon::client::ProposerPreparation;
use flotilla_cluster::registration::Registration;
use flotilla_cluster::registration::overrides::{OverridesError, effective, parse_overrides};
use flotilla_cluster::{Address, Lock};
use flotilla_duty::Input;
use flotilla_types::{Epoch, ExecutionAddress, PublicKeyBytes, SignedValidatorRegistration, Slot};
use tracing::{info, warn};

use crate::chores::Cluster;
use crate::duties::is_active_in;
use crate::folder::{self, FolderError};

/// Name of the overrides file in the data folder.
pub const OVERRIDES_FILE_NAME: &str = "builder_registrations_overrides.json";

/// An overrides file that must not be used: a wrong registration there would send fees astray, or nowhere.
#[derive(Debug, thiserror::Error)]
pub enum OverridesFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] FolderError),
    /// Its content.
    #[error("{path}: {source}; fetch it again with `flotilla feerecipient fetch`, or move it away", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OverridesError,
    },
}

/// The file, read again when it changes.
#[derive(Debug)]
pub(crate) struct Overrides {
    path: PathBuf,
    seen: Option<(SystemTime, u64)>,
    registrations: Vec<Registration>,
}

impl Overrides {
    /// Reads the file; none if it is not there.
    pub(crate) fn open(path: &Path, lock: &Lock) -> Result<Self, OverridesFileError> {
        let mut overrides = Self {
            path: path.to_owned(),
            seen: None,
            registrations: Vec::new(),
        };
        overrides.refresh(lock)?;
        Ok(overrides)
    }

    /// Reads the file if it has changed; `true` if it had. After an error what was read before goes on to count, and the error comes
    /// once for each change.
    fn refresh(&mut self, lock: &Lock) -> Result<bool, OverridesFileError> {
        let seen = std::fs::metadata(&self.path)
            .ok()
            .and_then(|file| Some((file.modified().ok()?, file.len())));
        if seen == self.seen {
            return Ok(false);
        }
        self.seen = seen;
        self.registrations = match seen {
            None => Vec::new(),
            Some(_) => self.read(lock)?,
        };
        Ok(true)
    }

    fn read(&self, lock: &Lock) -> Result<Vec<Registration>, OverridesFileError> {
        let bytes = folder::read(&self.path, "it was there a moment ago")?;
        parse_overrides(&bytes, lock.fork_version()).map_err(|source| OverridesFileError::Content {
            path: self.path.clone(),
            source,
        })
    }
}

/// What counts for each validator.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    fee_recipients: BTreeMap<PublicKeyBytes, Address>,
    registrations: BTreeMap<PublicKeyBytes, Registration>,
}

impl Plan {
    /// The newest registrations; validators of a lock without them have the definition's fee recipient. Never the zero address.
    fn new(lock: &Lock, overrides: &[Registration]) -> Self {
        let (mut fee_recipients, mut registrations) = (BTreeMap::new(), BTreeMap::new());
        let newest = effective(lock, overrides);
        for (index, (validator, registration)) in lock.validators().iter().zip(newest).enumerate() {
            let defined = lock
                .definition
                .validator_addresses(index)
                .and_then(|pair| Address::parse(&pair.fee_recipient).ok());
            let fee_recipient = registration
                .as_ref()
                .map(|registration| registration.message.fee_recipient)
                .or(defined);
            if let Some(address) = fee_recipient.filter(|address| !address.is_zero()) {
                fee_recipients.insert(validator.public_key, address);
            }
            if let Some(registration) =
                registration.filter(|registration| !registration.message.fee_recipient.is_zero())
            {
                registrations.insert(validator.public_key, registration);
            }
        }
        Self {
            fee_recipients,
            registrations,
        }
    }
}

impl Plan {
    /// A local block that pays somebody else is not signed (S1).
    async fn tell_engine(&self, cluster: &Cluster) {
        let recipients = self
            .fee_recipients
            .iter()
            .map(|(validator, address)| (*validator, ExecutionAddress(address.0)))
            .collect();
        cluster.parts.telemetry.fee_recipients(&recipients);
        // An error means that the shell is stopping.
        let _ = cluster.inbox.send(Input::FeeRecipients(recipients)).await;
    }
}

/// Tells the beacon node at start, before every epoch, and when the overrides change; after a failure again in the next slot.
pub(crate) async fn keep_prepared(cluster: Arc<Cluster>, mut overrides: Overrides) {
    let parts = &cluster.parts;
    let (chain, clock) = (&parts.chain, &parts.clock);
    let mut plan = Plan::new(&cluster.lock, &overrides.registrations);
    let without = cluster.lock.validators().len() - plan.fee_recipients.len();
    if without > 0 {
        warn!(
            cluster = cluster.name,
            validators = without,
            "no fee recipient in the lock: the beacon node's own default counts for their blocks"
        );
    }
    plan.tell_engine(&cluster).await;
    let (mut told, mut was_told) = (None::<Epoch>, false);
    loop {
        let slot = chain.slot_at(clock.now()).unwrap_or(Slot(0));
        let epoch = chain.epoch_of(Slot(slot.0 + 1));
        match overrides.refresh(&cluster.lock) {
            Ok(false) => {}
            Ok(true) => {
                info!(
                    registrations = overrides.registrations.len(),
                    "the overrides file has changed"
                );
                plan = Plan::new(&cluster.lock, &overrides.registrations);
                plan.tell_engine(&cluster).await;
                told = None;
            }
            Err(error) => warn!(%error, "the registrations read before go on to count"),
        }
        if told != Some(epoch) {
            match tell(&cluster, &plan, epoch).await {
                Ok(told_about) => {
                    if !std::mem::replace(&mut was_told, true) {
                        info!(
                            cluster = cluster.name,
                            fee_recipients = told_about.0,
                            registrations = told_about.1,
                            "the beacon node knows the fee recipients"
                        );
                    }
                    told = Some(epoch);
                }
                Err(error) => warn!(
                    error,
                    "beacon node not prepared for proposals; trying again next slot"
                ),
            }
        }
        let quarter = chain.spec.slot_duration / 4;
        let late_in = |slot: Slot| chain.slot_start(Slot(slot.0 + 1)) - quarter;
        let wake = match clock.now() < late_in(slot) {
            true => late_in(slot),
            false => late_in(Slot(slot.0 + 1)),
        };
        // After a jump of the clock a slot is the longest wait.
        tokio::time::sleep(clock.until(wake).min(chain.spec.slot_duration)).await;
    }
}

/// Returns how many fee recipients and registrations were taken.
async fn tell(cluster: &Cluster, plan: &Plan, epoch: Epoch) -> Result<(usize, usize), String> {
    let parts = &cluster.parts;
    let validators = parts
        .beacon
        .validators(&parts.validators)
        .await
        .map_err(|error| error.to_string())?;
    let active: Vec<_> = validators
        .iter()
        .filter(|validator| is_active_in(validator, epoch))
        .collect();
    let preparations: Vec<ProposerPreparation> = active
        .iter()
        .filter_map(|validator| {
            Some(ProposerPreparation {
                validator_index: validator.index,
                fee_recipient: plan.fee_recipients.get(&validator.pubkey)?.to_string(),
            })
        })
        .collect();
    parts
        .beacon
        .prepare_proposers(&preparations)
        .await
        .map_err(|error| error.to_string())?;
    let registrations: Vec<SignedValidatorRegistration> = active
        .iter()
        .filter(|_| cluster.builder_api)
        .filter_map(|validator| plan.registrations.get(&validator.pubkey))
        .map(SignedValidatorRegistration::from)
        .collect();
    if !registrations.is_empty() {
        let result = parts.beacon.register_validators(&registrations).await;
        parts.telemetry.registrations(result.is_ok());
        result.map_err(|error| error.to_string())?;
    }
    Ok((preparations.len(), registrations.len()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_cluster::create::{Request, cluster};
    use flotilla_cluster::registration::RegistrationMessage;
    use flotilla_cluster::registration::overrides::to_json;
    use flotilla_cluster::{Networks, NewDefinition, Operator, ValidatorAddresses};
    use flotilla_crypto::{SecretKey, os_rng};
    use tempfile::TempDir;

    use super::*;

    const FIRST: Address = Address([1; 20]);
    const SECOND: Address = Address([2; 20]);

    fn lock(fee_recipient: Address, key: &SecretKey) -> Lock {
        let networks = Networks::public();
        let network = networks.by_name("hoodi").unwrap();
        let definition = NewDefinition {
            operators: vec![Operator::default(); 3],
            validators: vec![ValidatorAddresses {
                fee_recipient: fee_recipient.to_string(),
                withdrawal: FIRST.to_string(),
            }],
            ..NewDefinition::new(network)
        };
        let mut rng = os_rng().unwrap();
        let definition = definition.build(&mut rng).unwrap();
        let request = Request {
            existing_keys: Some(vec![key.clone()]),
            ..Request::new(definition, network)
        };
        cluster(request, &mut rng).unwrap().lock
    }

    fn key() -> SecretKey {
        SecretKey::generate(&mut os_rng().unwrap())
    }

    fn registration(key: &SecretKey, lock: &Lock, timestamp: u64) -> Registration {
        RegistrationMessage {
            fee_recipient: SECOND,
            gas_limit: 1,
            timestamp,
            public_key: PublicKeyBytes(key.public_key().to_bytes()),
        }
        .sign(key, lock.fork_version())
    }

    #[test]
    fn newer_overrides_count_and_zero_never_does() {
        let key = key();
        let public = PublicKeyBytes(key.public_key().to_bytes());
        let with_first = lock(FIRST, &key);
        assert_eq!(Plan::new(&with_first, &[]).fee_recipients[&public], FIRST);
        let newer = registration(&key, &with_first, 1_800_000_000);
        let plan = Plan::new(&with_first, std::slice::from_ref(&newer));
        assert_eq!(plan.fee_recipients[&public], SECOND);
        assert_eq!(plan.registrations[&public], newer);
        let with_none = Plan::new(&lock(Address::default(), &key), &[]);
        assert!(with_none.fee_recipients.is_empty() && with_none.registrations.is_empty());
    }

    #[test]
    fn the_file_is_read_when_it_changes_and_a_bad_one_changes_nothing() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(OVERRIDES_FILE_NAME);
        let key = key();
        let lock = lock(FIRST, &key);
        let mut overrides = Overrides::open(&path, &lock).unwrap();
        assert!(overrides.registrations.is_empty());
        let good = registration(&key, &lock, 1_800_000_000);
        std::fs::write(&path, to_json(std::slice::from_ref(&good))).unwrap();
        assert!(overrides.refresh(&lock).unwrap());
        assert!(!overrides.refresh(&lock).unwrap());
        let mut forged = good.clone();
        forged.message.fee_recipient = Address([9; 20]);
        forged.message.timestamp += 10_000_000_000;
        std::fs::write(&path, to_json(&[forged])).unwrap();
        let error = overrides.refresh(&lock).unwrap_err().to_string();
        assert!(error.contains("feerecipient fetch"), "{error}");
        assert!(!overrides.refresh(&lock).unwrap(), "told once");
        assert_eq!(overrides.registrations, [good]);
        assert!(Overrides::open(&path, &lock).is_err());
    }
}
