//! Whether a definition or a lock holds: one pass that collects every finding (spec 10 §2.6, §3.4).
//!
//! A person with a broken file wants all that is wrong with it; a node wants the first reason not
//! to start. Both come from the same pass: findings stand in the order in which every
//! implementation checks, so the first one that refuses the file is the one they all name. What
//! they check and what only we check is told apart by [`Check::is_extra`]: a node never refuses a
//! lock for an extra check alone.

mod claims;
mod extras;
mod keys;
mod progress;
mod registrations;
mod shares;
mod wallets;

use std::fmt;

use thiserror::Error;

use crate::definition::Definition;
use crate::eip712::ContractWallet;
use crate::enr::Enr;
use crate::hashing::HashError;
use crate::json::{ParseError, prefixed_hex};
use crate::lock::Lock;
use crate::network::Networks;
use keys::ValidatorKeys;
pub use progress::Progress;
use progress::Tracker;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth a look; everything works.
    Warning,
    /// Any node would refuse the file, or money is at risk.
    Error,
}

/// The rule that a finding is about, in the order of checking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The config hash is that of the fields.
    ConfigHash,
    /// The definition hash is that of the fields.
    DefinitionHash,
    /// There are as many validators as the definition says.
    ValidatorCount,
    /// The lock hash is that of the fields.
    LockHash,
    /// The fork version belongs to a known network.
    Network,
    /// Operators signed with their wallets: all or none.
    OperatorSignature,
    /// The creator signed.
    CreatorSignature,
    /// There is a BLS aggregate of the right size.
    AggregatePresence,
    /// Public keys and shares are distinct valid points, the threshold lies within the cluster, and
    /// each validator's lie on one polynomial of degree `threshold - 1`.
    PublicShares,
    /// The BLS aggregate is by all shares over the lock hash.
    Aggregate,
    /// Each validator signed its builder registration.
    Registration,
    /// Each operator's ENR key signed the lock hash.
    NodeSignature,
    /// Extra: operators have valid ENRs with distinct keys. Building the list of peers needs it.
    Peers,
    /// Extra: no public share belongs to two validators. Matching keystores needs it.
    ShareReuse,
    /// Extra: deposits are signed, and withdraw to the address in the definition.
    Deposit,
    /// Extra: stored registrations say what was signed.
    RegistrationFields,
    /// Extra: the threshold is the usual one.
    Threshold,
    /// Extra: withdrawal addresses are addresses, and not zero where money is real.
    Withdrawal,
    /// Extra: the consensus protocol is known.
    Protocol,
    /// Extra: the file has nothing its version does not know.
    UnknownField,
    /// Extra: no text ends in zero bytes, which the hashes before v1.3 do not see.
    TextEnd,
}

impl Check {
    /// Whether only we check this: a file that fails it is not refused.
    #[must_use]
    pub fn is_extra(self) -> bool {
        self > Self::NodeSignature
    }
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {message}")]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule that is broken.
    pub check: Check,
    /// JSON path of the value, for example `distributed_validators[3].public_shares[1]`.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

/// What verification needs from outside.
#[derive(Clone, Copy)]
pub struct VerifyOptions<'a> {
    /// The networks a fork version may belong to.
    pub networks: &'a Networks,
    /// Asks contract wallets about their signatures. Without it such signatures do not verify.
    pub contract_wallet: Option<&'a dyn ContractWallet>,
    /// Whether to make our extra checks too. They cost one more signature check per deposit.
    pub extra_checks: bool,
    /// Is told of every step of a lock's verification, on the thread that verifies: large locks take
    /// seconds.
    pub progress: Option<&'a dyn Fn(Progress)>,
}

impl<'a> VerifyOptions<'a> {
    /// All checks, without an execution client.
    #[must_use]
    pub fn new(networks: &'a Networks) -> Self {
        Self {
            networks,
            contract_wallet: None,
            extra_checks: true,
            progress: None,
        }
    }
}

impl fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyOptions")
            .field("networks", &self.networks)
            .field("contract_wallet", &self.contract_wallet.is_some())
            .field("extra_checks", &self.extra_checks)
            .field("progress", &self.progress.is_some())
            .finish()
    }
}

/// How strict [`Lock::load`] and [`Definition::load`] are.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions<'a> {
    /// What verification needs.
    pub verify: VerifyOptions<'a>,
    /// Load in spite of findings; they are returned all the same.
    pub no_verify: bool,
}

/// A file that a node must not use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It does not hold; this is the first reason.
    #[error(transparent)]
    Refused(Finding),
}

/// A file that was loaded, with what is wrong with it all the same.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The file.
    pub file: T,
    /// Warnings, failed extra checks, and with `no_verify` everything else.
    pub findings: Vec<Finding>,
}

/// Collects findings under a common path.
struct Findings {
    prefix: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    fn new(prefix: &'static str) -> Self {
        Self {
            prefix,
            list: Vec::new(),
        }
    }

    fn error(&mut self, check: Check, path: impl fmt::Display, message: impl fmt::Display) {
        self.add(Severity::Error, check, path, message);
    }

    fn warning(&mut self, check: Check, path: impl fmt::Display, message: impl fmt::Display) {
        self.add(Severity::Warning, check, path, message);
    }

    fn add(
        &mut self,
        severity: Severity,
        check: Check,
        path: impl fmt::Display,
        message: impl fmt::Display,
    ) {
        let path = format!("{}{path}", self.prefix);
        self.list.push(Finding {
            severity,
            check,
            path,
            message: message.to_string(),
        });
    }

    fn hash(
        &mut self,
        check: Check,
        path: &str,
        computed: Result<[u8; 32], HashError>,
        stored: &[u8],
    ) {
        match computed {
            Err(error) => self.error(check, path, error),
            Ok(computed) if computed == stored => {}
            Ok(computed) => {
                let found = if stored.is_empty() {
                    "none".to_owned()
                } else {
                    prefixed_hex(stored)
                };
                self.error(
                    check,
                    path,
                    format_args!("expected {}, found {found}", prefixed_hex(&computed)),
                );
            }
        }
    }
}

impl Definition {
    /// Everything that is wrong with the definition.
    #[must_use]
    pub fn verify(&self, options: &VerifyOptions<'_>) -> Vec<Finding> {
        self.findings(options, "").list
    }

    /// Reads a definition and refuses it for its first wrong hash or signature.
    ///
    /// # Errors
    /// It cannot be read, or (unless `no_verify`) it does not hold.
    pub fn load(bytes: &[u8], options: &LoadOptions<'_>) -> Result<Loaded<Self>, LoadError> {
        let definition = Self::parse(bytes)?;
        let findings = definition.verify(&options.verify);
        accept(definition, findings, options)
    }

    fn findings(&self, options: &VerifyOptions<'_>, prefix: &'static str) -> Findings {
        let mut findings = Findings::new(prefix);
        self.verify_hashes(&mut findings);
        wallets::verify(self, options, &mut findings);
        if options.extra_checks {
            extras::verify_definition(self, options, &mut findings);
        }
        findings
    }

    fn verify_hashes(&self, findings: &mut Findings) {
        findings.hash(
            Check::ConfigHash,
            "config_hash",
            self.compute_config_hash(),
            &self.config_hash,
        );
        findings.hash(
            Check::DefinitionHash,
            "definition_hash",
            self.compute_definition_hash(),
            &self.definition_hash,
        );
    }
}

impl Lock {
    /// Everything that is wrong with the lock, in the order of [`Check`].
    #[must_use]
    pub fn verify(&self, options: &VerifyOptions<'_>) -> Vec<Finding> {
        let mut findings = Findings::new("");
        let mut tracker = Tracker::new(self, options);
        if self.validators.len() as u64 != self.definition.num_validators {
            let message = format_args!(
                "expected {} entries as num_validators says, found {}",
                self.definition.num_validators,
                self.validators.len()
            );
            findings.error(Check::ValidatorCount, "distributed_validators", message);
        }
        findings.hash(
            Check::LockHash,
            "lock_hash",
            self.compute_lock_hash(),
            &self.lock_hash,
        );
        let keys = self.verify_signatures(&mut findings, &mut tracker);
        if options.extra_checks {
            extras::verify_lock(self, &keys, &mut findings, &mut tracker);
        }
        tracker.finish();
        let mut all = self
            .definition
            .findings(options, "cluster_definition.")
            .list;
        all.extend(findings.list);
        all.sort_by_key(|finding| finding.check); // Stable: within a check, by position in the file.
        all
    }

    /// Reads a lock and refuses it for its first wrong hash or signature.
    ///
    /// # Errors
    /// It cannot be read, or (unless `no_verify`) it does not hold.
    pub fn load(bytes: &[u8], options: &LoadOptions<'_>) -> Result<Loaded<Self>, LoadError> {
        let lock = Self::parse(bytes)?;
        let findings = lock.verify(&options.verify);
        accept(lock, findings, options)
    }

    /// The keys of the validators, for more checks with them; none if there was nothing to check.
    fn verify_signatures(
        &self,
        findings: &mut Findings,
        tracker: &mut Tracker<'_>,
    ) -> Vec<ValidatorKeys> {
        let version = self.definition.version;
        if self.signature_aggregate.is_empty() && version.is_base64() {
            return Vec::new(); // Clusters of those versions may be unsigned, and have nothing else to check.
        }
        let keys = keys::decode(self, tracker);
        shares::verify(self, &keys, findings);
        registrations::verify(self, &keys, findings, tracker);
        self.verify_node_signatures(findings);
        keys
    }

    fn verify_node_signatures(&self, findings: &mut Findings) {
        let expected = if self.definition.version.has_registrations() {
            self.operators().len()
        } else {
            0
        };
        if self.node_signatures.len() != expected {
            let message = format_args!(
                "expected {expected} signatures, found {}",
                self.node_signatures.len()
            );
            findings.error(Check::NodeSignature, "node_signatures", message);
        }
        let Ok(lock_hash) = <[u8; 32]>::try_from(self.lock_hash.as_slice()) else {
            return; // The hash check has reported it.
        };
        for (index, (signature, operator)) in self
            .node_signatures
            .iter()
            .zip(self.operators())
            .enumerate()
        {
            let path = format_args!("node_signatures[{index}]");
            match Enr::parse(&operator.enr) {
                Err(error) => {
                    let path = format_args!("cluster_definition.operators[{index}].enr");
                    findings.error(Check::NodeSignature, path, error);
                }
                Ok(enr)
                    if signature.len() == 65 && enr.public_key().verify(&lock_hash, signature) => {}
                Ok(_) => {
                    findings.error(
                        Check::NodeSignature,
                        path,
                        "not a signature of the lock hash by the operator's ENR key",
                    );
                }
            }
        }
    }
}

fn accept<T>(
    file: T,
    findings: Vec<Finding>,
    options: &LoadOptions<'_>,
) -> Result<Loaded<T>, LoadError> {
    let refusal = findings
        .iter()
        .find(|finding| finding.severity == Severity::Error && !finding.check.is_extra());
    match refusal {
        Some(finding) if !options.no_verify => Err(LoadError::Refused(finding.clone())),
        _ => Ok(Loaded { file, findings }),
    }
}
