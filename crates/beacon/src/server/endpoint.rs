//! The endpoints that are not simply passed on: names, methods, paths and body limits (spec 30 §3.3).

use hyper::Method;

/// What any list may have beside its items.
const BASE: usize = 64 << 10;
/// Most bytes of a block with its blobs.
const BLOCK: usize = 20 << 20;
/// Bytes of an index in a list, generously; and of room for foreign ones.
const INDEX: usize = 64;
/// Most subcommittees one validator may have to do with in one request.
const SUBCOMMITTEES: usize = 4;

/// How the bytes of a request's body are bounded.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// No body.
    Nothing,
    /// One item of about this size.
    Bytes(usize),
    /// So many bytes for each validator of the cluster.
    PerValidator(usize),
}

macro_rules! endpoints {
    ($($name:ident: $label:literal, $method:ident $path:literal, $limit:expr;)*) => {
        /// An endpoint that the server answers itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Endpoint {
            $($name,)*
        }

        impl Endpoint {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            fn description(self) -> Description {
                match self {
                    $(Self::$name => Description {
                        label: $label,
                        method: Method::$method,
                        path: $path,
                        limit: $limit,
                    },)*
                }
            }
        }
    };
}

struct Description {
    label: &'static str,
    method: Method,
    path: &'static str,
    limit: Limit,
}

use Limit::{Bytes, Nothing, PerValidator};

endpoints! {
    AttesterDuties: "attester_duties", POST "/eth/v1/validator/duties/attester/{epoch}", PerValidator(INDEX);
    ProposerDuties: "proposer_duties", GET "/eth/v1/validator/duties/proposer/{epoch}", Nothing;
    ProposerDutiesV2: "proposer_duties_v2", GET "/eth/v2/validator/duties/proposer/{epoch}", Nothing;
    SyncDuties: "sync_committee_duties", POST "/eth/v1/validator/duties/sync/{epoch}", PerValidator(INDEX);
    Validators: "get_validators", GET "/eth/v1/beacon/states/{state_id}/validators", Nothing;
    PostValidators: "get_validators", POST "/eth/v1/beacon/states/{state_id}/validators", PerValidator(256);
    Validator: "get_validator", GET "/eth/v1/beacon/states/{state_id}/validators/{validator_id}", Nothing;
    AttestationData: "attestation_data", GET "/eth/v1/validator/attestation_data", Nothing;
    Attestations: "submit_attestations", POST "/eth/v1/beacon/pool/attestations", PerValidator(2 << 10);
    AttestationsV2: "submit_attestations_v2", POST "/eth/v2/beacon/pool/attestations", PerValidator(2 << 10);
    BeaconSelections: "aggregate_beacon_committee_selections",
        POST "/eth/v1/validator/beacon_committee_selections", PerValidator(1 << 10);
    Aggregate: "aggregate_attestation", GET "/eth/v1/validator/aggregate_attestation", Nothing;
    AggregateV2: "aggregate_attestation_v2", GET "/eth/v2/validator/aggregate_attestation", Nothing;
    Aggregates: "submit_aggregate_and_proofs", POST "/eth/v1/validator/aggregate_and_proofs", PerValidator(36 << 10);
    AggregatesV2: "submit_aggregate_and_proofs_v2",
        POST "/eth/v2/validator/aggregate_and_proofs", PerValidator(36 << 10);
    BlockV2: "propose_block", GET "/eth/v2/validator/blocks/{slot}", Nothing;
    BlindedBlock: "propose_blinded_block", GET "/eth/v1/validator/blinded_blocks/{slot}", Nothing;
    BlockV3: "propose_block_v3", GET "/eth/v3/validator/blocks/{slot}", Nothing;
    SubmitBlock: "submit_proposal_v1", POST "/eth/v1/beacon/blocks", Bytes(BLOCK);
    SubmitBlockV2: "submit_proposal_v2", POST "/eth/v2/beacon/blocks", Bytes(BLOCK);
    SubmitBlinded: "submit_blinded_block_v1", POST "/eth/v1/beacon/blinded_blocks", Bytes(BLOCK);
    SubmitBlindedV2: "submit_blinded_block_v2", POST "/eth/v2/beacon/blinded_blocks", Bytes(BLOCK);
    SyncMessages: "submit_sync_committee_messages",
        POST "/eth/v1/beacon/pool/sync_committees", PerValidator(1 << 10);
    SyncSelections: "aggregate_sync_committee_selections",
        POST "/eth/v1/validator/sync_committee_selections", PerValidator(SUBCOMMITTEES << 10);
    Contribution: "sync_committee_contribution", GET "/eth/v1/validator/sync_committee_contribution", Nothing;
    Contributions: "submit_contribution_and_proofs",
        POST "/eth/v1/validator/contribution_and_proofs", PerValidator(SUBCOMMITTEES * (4 << 10));
    Exit: "submit_voluntary_exit", POST "/eth/v1/beacon/pool/voluntary_exits", Bytes(4 << 10);
    Registrations: "submit_validator_registration",
        POST "/eth/v1/validator/register_validator", PerValidator(2 << 10);
    Preparations: "submit_proposal_preparations",
        POST "/eth/v1/validator/prepare_beacon_proposer", PerValidator(512);
    TekuProposerConfig: "teku_proposer_config", GET "/teku_proposer_config", Nothing;
    ProposerConfig: "proposer_config", GET "/proposer_config", Nothing;
    Version: "node_version", GET "/eth/v1/node/version", Nothing;
}

impl Endpoint {
    /// The endpoint of a method and path, if it is one of these.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|endpoint| {
            let description = endpoint.description();
            description.method == *method && matches(description.path, path)
        })
    }

    /// The name in metrics.
    pub(super) fn label(self) -> &'static str {
        self.description().label
    }

    /// The path with the names of its variable parts.
    pub(super) fn path(self) -> &'static str {
        self.description().path
    }

    /// Most bytes of a body, in a cluster of so many validators.
    pub(super) fn body_limit(self, validators: usize) -> usize {
        match self.description().limit {
            Nothing => 0,
            Bytes(bytes) => bytes,
            PerValidator(bytes) => BASE
                .saturating_add(bytes.saturating_mul(validators))
                .min(BLOCK),
        }
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(name), Some(value)) if name.starts_with('{') => {
                if value.is_empty() {
                    return false;
                }
            }
            (Some(expected), Some(value)) if expected == value => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_and_whole_path_decide() {
        let of = |path| Endpoint::of(&Method::GET, path);
        assert_eq!(of("/eth/v3/validator/blocks/7"), Some(Endpoint::BlockV3));
        assert_eq!(of("/eth/v3/validator/blocks/"), None);
        assert_eq!(of("/eth/v3/validator/blocks/7/8"), None);
        assert_eq!(of("/eth/v4/validator/blocks/7"), None);
        assert_eq!(
            of("/eth/v1/beacon/states/head/validators"),
            Some(Endpoint::Validators)
        );
        assert_eq!(
            of("/eth/v1/beacon/states/head/validators/5"),
            Some(Endpoint::Validator)
        );
        assert_eq!(of("/eth/v2/beacon/pool/attestations"), None);
        assert_eq!(Endpoint::of(&Method::HEAD, "/eth/v1/node/version"), None);
    }
}
