//! Valid locks of every version, small and with as many fields set as it has.

use flotilla_cluster::create::{Created, Request, cluster};
use flotilla_cluster::{
    Address, Cost, Creator, Lock, Networks, NewDefinition, Operator, TypedMessage,
    ValidatorAddresses, Version,
};
use flotilla_crypto::{IdentityKey, aggregate};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const HOODI_CHAIN: u64 = 560_048;
const ADDRESSES: [&str; 2] = [
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
];

/// Three operators, nobody has signed with a wallet.
pub fn unsigned(version: Version, validators: usize) -> Lock {
    create(version, validators).lock
}

/// The same after operators and creator have signed the definition, as a ceremony has it.
pub fn signed(version: Version, validators: usize) -> Lock {
    let created = create(version, validators);
    let mut lock = created.lock.clone();
    let definition = &mut lock.definition;
    for (index, operator) in (1..).zip(&mut definition.operators) {
        operator.address = Address::of(&wallet(index).public()).to_string();
    }
    definition.creator.address = Address::of(&wallet(9).public()).to_string();
    let config_hash = definition.compute_config_hash().unwrap();
    for (index, operator) in (1..).zip(&mut definition.operators) {
        let config = TypedMessage::OperatorConfig {
            config_hash: &config_hash,
        };
        operator.config_signature = sign(index, config);
        operator.enr_signature = sign(index, TypedMessage::Enr { enr: &operator.enr });
    }
    definition.creator.config_signature = sign(
        9,
        TypedMessage::CreatorConfig {
            config_hash: &config_hash,
        },
    );
    seal(&mut lock, &created);
    lock
}

/// Hashes the lock anew and signs it with all shares and identities.
fn seal(lock: &mut Lock, created: &Created) {
    lock.update_hashes().unwrap();
    let hash = lock.compute_lock_hash().unwrap();
    let keystores = created.nodes.iter().flat_map(|node| &node.keystores);
    let signatures: Vec<_> = keystores
        .map(|keystore| keystore.secret().sign(&hash))
        .collect();
    lock.signature_aggregate = aggregate(&signatures).to_bytes().to_vec();
    if lock.definition.version.has_registrations() {
        let identities = created.nodes.iter().map(|node| {
            let text = std::str::from_utf8(&node.files[0].bytes).unwrap();
            IdentityKey::from_hex(text).unwrap()
        });
        lock.node_signatures = identities
            .map(|identity| identity.sign(&hash).to_vec())
            .collect();
    }
}

fn wallet(byte: u8) -> IdentityKey {
    IdentityKey::from_bytes(&[byte; 32]).unwrap()
}

fn sign(wallet_byte: u8, message: TypedMessage<'_>) -> Vec<u8> {
    let digest = message.digest(HOODI_CHAIN);
    wallet(wallet_byte).sign(&digest).to_vec()
}

fn create(version: Version, validators: usize) -> Created {
    let mut rng = ChaCha20Rng::seed_from_u64(21);
    let networks = Networks::public();
    let network = networks.by_name("hoodi").unwrap();
    let pair = |[fee_recipient, withdrawal]: [&str; 2]| ValidatorAddresses {
        fee_recipient: fee_recipient.to_owned(),
        withdrawal: withdrawal.to_owned(),
    };
    let mut validators = vec![pair(ADDRESSES); validators];
    if version.has_validator_addresses() {
        for other in validators.iter_mut().skip(1) {
            *other = pair([ADDRESSES[1], ADDRESSES[0]]);
        }
    }
    let definition = NewDefinition {
        version,
        name: "mutants".to_owned(),
        operators: vec![Operator::default(); 3],
        creator: Creator::default(),
        threshold: Some(2),
        timestamp: "2026-11-25T04:00:00Z".to_owned(),
        validators,
        deposit_amounts: if version.has_partial_deposits() {
            vec![1_000_000_000, 31_000_000_000]
        } else {
            Vec::new()
        },
        consensus_protocol: if version.has_consensus_protocol() {
            "qbft".to_owned()
        } else {
            String::new()
        },
        ..NewDefinition::new(network)
    };
    let request = Request {
        keystore_cost: Cost::INSECURE,
        ..Request::new(definition.build(&mut rng).unwrap(), network)
    };
    cluster(request, &mut rng).unwrap()
}
