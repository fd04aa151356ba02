//! Wallet signatures of a definition (spec 10 §2.6): nobody signed, only the creator, or everyone.

use flotilla_crypto::IdentityPublicKey;

use super::{Check, Findings, VerifyOptions};
use crate::address::Address;
use crate::definition::{Definition, Operator};
use crate::eip712::TypedMessage;
use crate::hashing::{MAX_BLOB_SIGNATURES, WALLET_SIGNATURE_BYTES};
use crate::version::Version;

pub(super) fn verify(
    definition: &Definition,
    options: &VerifyOptions<'_>,
    findings: &mut Findings,
) {
    if definition.version.has_wallet_signatures() {
        Wallets {
            definition,
            options,
            findings,
        }
        .verify();
    } else {
        verify_unsigned(definition, findings);
    }
}

/// Before v1.3 nobody signs.
fn verify_unsigned(definition: &Definition, findings: &mut Findings) {
    for (index, operator) in definition.operators.iter().enumerate() {
        for (key, signature) in signatures(operator) {
            if !signature.is_empty() {
                let path = format_args!("operators[{index}].{key}");
                findings.error(
                    Check::OperatorSignature,
                    path,
                    format_args!("{} has no signatures", definition.version),
                );
            }
        }
    }
}

fn signatures(operator: &Operator) -> [(&'static str, &[u8]); 2] {
    [
        ("config_signature", &operator.config_signature),
        ("enr_signature", &operator.enr_signature),
    ]
}

struct Wallets<'a, 'f> {
    definition: &'a Definition,
    options: &'a VerifyOptions<'a>,
    findings: &'f mut Findings,
}

impl Wallets<'_, '_> {
    fn verify(&mut self) {
        let network = self
            .options
            .networks
            .by_fork_version(self.definition.fork_version);
        if let Err(error) = &network {
            self.findings.error(Check::Network, "fork_version", error);
        }
        let chain_id = network.ok().map(|network| network.chain_id);
        self.verify_operators(chain_id);
        self.verify_creator(chain_id);
    }

    fn verify_operators(&mut self, chain_id: Option<u64>) {
        let operators = &self.definition.operators;
        let unsigned = operators
            .iter()
            .filter(|operator| operator.is_unsigned())
            .count();
        for (index, operator) in operators.iter().enumerate() {
            if !operator.is_unsigned() {
                self.verify_operator(index, operator, chain_id);
            }
        }
        if unsigned != 0 && unsigned != operators.len() {
            let message = format_args!(
                "{unsigned} of {} operators have not signed: expected all or none",
                operators.len()
            );
            self.findings
                .error(Check::OperatorSignature, "operators", message);
        }
    }

    fn verify_operator(&mut self, index: usize, operator: &Operator, chain_id: Option<u64>) {
        let config_hash = &self.definition.config_hash;
        let config = match self.definition.version {
            Version::V1_3 => TypedMessage::EarlyOperatorConfig { config_hash },
            _ => TypedMessage::OperatorConfig { config_hash },
        };
        let messages = [config, TypedMessage::Enr { enr: &operator.enr }];
        for ((key, signature), message) in signatures(operator).into_iter().zip(messages) {
            let path = format!("operators[{index}].{key}");
            self.verify_one(
                Check::OperatorSignature,
                &path,
                &operator.address,
                signature,
                message,
                chain_id,
            );
        }
    }

    fn verify_creator(&mut self, chain_id: Option<u64>) {
        let definition = self.definition;
        let creator = &definition.creator;
        let path = "creator.config_signature";
        if !definition.version.has_creator() {
            return; // Such files have no place for one.
        }
        if creator.address.is_empty() && creator.config_signature.is_empty() {
            if !definition.operators.iter().any(Operator::is_unsigned) {
                self.findings.error(
                    Check::CreatorSignature,
                    path,
                    "expected a signature: the operators have signed",
                );
            }
            return;
        }
        let message = TypedMessage::CreatorConfig {
            config_hash: &definition.config_hash,
        };
        self.verify_one(
            Check::CreatorSignature,
            path,
            &creator.address,
            &creator.config_signature,
            message,
            chain_id,
        );
    }

    fn verify_one(
        &mut self,
        check: Check,
        path: &str,
        address: &str,
        signature: &[u8],
        message: TypedMessage<'_>,
        chain_id: Option<u64>,
    ) {
        let outcome =
            check_length(self.definition.version, signature).and_then(|()| match chain_id {
                Some(chain_id) => {
                    self.check_signature(address, &message.digest(chain_id), signature)
                }
                None => Ok(()), // The unknown network has been reported; without it there is no digest.
            });
        if let Err(problem) = outcome {
            self.findings.error(check, path, problem);
        }
    }

    /// First as a plain signature by the address's key, then by asking the contract at the address.
    fn check_signature(
        &self,
        address_text: &str,
        digest: &[u8; 32],
        signature: &[u8],
    ) -> Result<(), String> {
        let address = Address::parse(address_text).map_err(|error| error.to_string())?;
        let plain = check_plain(address, digest, signature);
        let (Err(problem), Some(contract)) = (&plain, self.options.contract_wallet) else {
            return plain;
        };
        match contract.accepts(address, digest, signature) {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "{problem}; as a contract it does not accept the signature either"
            )),
            Err(error) => Err(format!(
                "{problem}; asking it as a contract failed: {error}"
            )),
        }
    }
}

fn check_length(version: Version, signature: &[u8]) -> Result<(), String> {
    let length = signature.len();
    if length == 0 {
        return Err("expected a signature, found none".to_owned());
    }
    let most = if version.has_signature_lists() {
        MAX_BLOB_SIGNATURES
    } else {
        1
    };
    if length.is_multiple_of(WALLET_SIGNATURE_BYTES) && length <= most * WALLET_SIGNATURE_BYTES {
        Ok(())
    } else if most == 1 {
        Err(format!("expected 65 bytes, found {length}"))
    } else {
        Err(format!(
            "expected a multiple of 65 bytes up to {}, found {length}",
            most * WALLET_SIGNATURE_BYTES
        ))
    }
}

fn check_plain(address: Address, digest: &[u8; 32], signature: &[u8]) -> Result<(), String> {
    let Ok(signature) = <&[u8; 65]>::try_from(signature) else {
        return Err(format!(
            "{} bytes are signatures of a contract wallet, which only {address} itself can check: an execution client is needed",
            signature.len()
        ));
    };
    match IdentityPublicKey::recover(digest, signature).map(|key| Address::of(&key)) {
        Ok(signer) if signer == address => Ok(()),
        Ok(signer) => Err(format!(
            "expected a signature by {address}, found one by {signer}"
        )),
        Err(error) => Err(format!("expected a signature by {address}: {error}")),
    }
}
