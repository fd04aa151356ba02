//! `flotilla cluster show`: a cluster as a person wants to see it.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use flotilla_cluster::deposit::deposit_amounts;
use flotilla_cluster::{Definition, Enr, Lock, Operator, PeerId};
use serde_json::{Value, json};

use super::{ClusterFile, lock_in, read};
use crate::network::CustomNetwork;
use crate::say;

/// Show a cluster: who, threshold, validators, what is signed and what not.
///
/// Nothing is checked here: `flotilla cluster verify` does.
#[derive(clap::Args)]
pub struct Arguments {
    /// A cluster-lock.json, a cluster-definition.json, or a node's folder; the data folder if not given.
    file: Option<PathBuf>,
    /// One JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    custom: CustomNetwork,
}

/// Shows it.
pub fn execute(arguments: &Arguments) -> anyhow::Result<()> {
    let path = lock_in(arguments.file.as_deref());
    let file = ClusterFile::parse(&read(&path)?).with_context(|| path.display().to_string())?;
    let definition = file.definition();
    let networks = arguments.custom.networks()?;
    let network = networks
        .by_fork_version(definition.fork_version)
        .map_or("unknown network", |network| network.name.as_str());
    let lock = match &file {
        ClusterFile::Lock(lock) => Some(&**lock),
        ClusterFile::Definition(_) => None,
    };
    say(&match arguments.json {
        true => serde_json::to_string_pretty(&document(definition, lock, network))?,
        false => text(definition, lock, network),
    });
    Ok(())
}

/// What an operator has signed.
fn signed(operator: &Operator) -> &'static str {
    match (
        operator.config_signature.is_empty(),
        operator.enr_signature.is_empty(),
    ) {
        (false, false) => "terms and ENR signed",
        (false, true) => "terms signed, ENR not",
        (true, false) => "ENR signed, terms not",
        (true, true) => "nothing signed by wallet",
    }
}

fn peer_id(operator: &Operator) -> Option<PeerId> {
    Enr::parse(&operator.enr)
        .ok()
        .map(|enr| PeerId::of(enr.public_key()))
}

/// Crashed operators that leave the cluster able to sign.
fn tolerance(definition: &Definition) -> u64 {
    (definition.operators.len() as u64).saturating_sub(definition.threshold)
}

fn text(definition: &Definition, lock: Option<&Lock>, network: &str) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<16}{value}");
    };
    let name = if definition.name.is_empty() {
        "(no name)"
    } else {
        &definition.name
    };
    line("cluster", name.to_owned());
    let kind = if lock.is_some() {
        "lock"
    } else {
        "definition, no keys yet"
    };
    line("file", format!("{kind}, version {}", definition.version));
    line(
        "network",
        format!("{network} (fork version {})", definition.fork_version),
    );
    line(
        "made",
        format!("{} uuid {}", definition.timestamp, definition.uuid),
    );
    let operators = definition.operators.len();
    line(
        "operators",
        format!(
            "{operators}, any {} sign; {} may fail, {} may lie",
            definition.threshold,
            tolerance(definition),
            operators.saturating_sub(1) / 3
        ),
    );
    for (index, operator) in definition.operators.iter().enumerate() {
        let peer = peer_id(operator).map_or_else(
            || "(no valid ENR)".to_owned(),
            |peer| format!("…{}", peer.short()),
        );
        let address = if operator.address.is_empty() {
            ""
        } else {
            operator.address.as_str()
        };
        line(
            &format!("  {index}"),
            format!("{peer}  {address}  {}", signed(operator)).replace("    ", "  "),
        );
    }
    let creator = match (
        definition.creator.address.as_str(),
        definition.creator.config_signature.is_empty(),
    ) {
        ("", _) => "nobody named".to_owned(),
        (address, true) => format!("{address}, not signed"),
        (address, false) => format!("{address}, signed"),
    };
    line("creator", creator);
    line("validators", definition.num_validators.to_string());
    let amounts: Vec<String> = deposit_amounts(&definition.deposit_amounts, definition.compounding)
        .iter()
        .map(|gwei| format!("{}", *gwei as f64 / 1e9))
        .collect();
    let credentials = if definition.compounding {
        "0x02, compounding"
    } else {
        "0x01"
    };
    line(
        "deposits",
        format!(
            "{} ETH each, credentials {credentials}",
            amounts.join(" + ")
        ),
    );
    if definition.target_gas_limit != 0 {
        line("gas limit", definition.target_gas_limit.to_string());
    }
    line(
        "config hash",
        format!("0x{}", hex::encode(&definition.config_hash)),
    );
    line(
        "definition hash",
        format!("0x{}", hex::encode(&definition.definition_hash)),
    );
    if let Some(lock) = lock {
        line("lock hash", format!("0x{}", hex::encode(lock.lock_hash())));
        let present = |is_there: bool| if is_there { "present" } else { "missing" };
        line(
            "signatures",
            format!(
                "of all shares: {}; of nodes: {} of {operators}",
                present(!lock.signature_aggregate.is_empty()),
                lock.node_signatures.len()
            ),
        );
        for (index, validator) in lock.validators().iter().enumerate() {
            let registration = match validator.registration.is_missing() {
                true => "no registration",
                false => "registration",
            };
            line(
                &format!("  validator {index}"),
                format!(
                    "{}  {} shares, {} deposits, {registration}",
                    validator.public_key,
                    validator.public_shares.len(),
                    validator.deposits.len()
                ),
            );
            if let Some(pair) = definition.validator_addresses(index) {
                line(
                    "",
                    format!(
                        "fees to {}, withdrawals to {}",
                        pair.fee_recipient, pair.withdrawal
                    ),
                );
            }
        }
    }
    text.trim_end().to_owned()
}

fn document(definition: &Definition, lock: Option<&Lock>, network: &str) -> Value {
    let hash = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
    let operators: Vec<Value> = definition
        .operators
        .iter()
        .enumerate()
        .map(|(index, operator)| {
            json!({
                "index": index,
                "peer_id": peer_id(operator).map(|peer| peer.to_string()),
                "address": operator.address,
                "config_signed": !operator.config_signature.is_empty(),
                "enr_signed": !operator.enr_signature.is_empty(),
            })
        })
        .collect();
    let mut document = json!({
        "kind": if lock.is_some() { "lock" } else { "definition" },
        "version": definition.version.as_str(),
        "name": definition.name,
        "uuid": definition.uuid,
        "network": network,
        "fork_version": definition.fork_version.to_string(),
        "threshold": definition.threshold,
        "may_fail": tolerance(definition),
        "operators": operators,
        "creator": { "address": definition.creator.address, "signed": !definition.creator.config_signature.is_empty() },
        "num_validators": definition.num_validators,
        "compounding": definition.compounding,
        "deposit_amounts_gwei": deposit_amounts(&definition.deposit_amounts, definition.compounding),
        "config_hash": hash(&definition.config_hash),
        "definition_hash": hash(&definition.definition_hash),
    });
    if let Some(lock) = lock {
        let validators: Vec<Value> = lock
            .validators()
            .iter()
            .enumerate()
            .map(|(index, validator)| {
                let pair = definition.validator_addresses(index);
                json!({
                    "index": index,
                    "public_key": validator.public_key.to_string(),
                    "fee_recipient": pair.map(|pair| &pair.fee_recipient),
                    "withdrawal": pair.map(|pair| &pair.withdrawal),
                    "deposits": validator.deposits.len(),
                    "registration": !validator.registration.is_missing(),
                })
            })
            .collect();
        document["lock_hash"] = hash(lock.lock_hash()).into();
        document["node_signatures"] = lock.node_signatures.len().into();
        document["validators"] = validators.into();
    }
    document
}
