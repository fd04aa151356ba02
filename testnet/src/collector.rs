//! A stand-in for the server that collects exits, deposits and registrations, in memory: what the commands need of the real one.
//!
//! It checks what a careful server can check (an operator's authorisation for its share, that shares are in the cluster) and says no
//! in the field's words. Signatures over the objects are not its business: clients trust it with nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use flotilla_cluster::Lock;
use flotilla_cluster::collect::deposit::{
    CollectedAmount, CollectedDeposits, CollectedPartial, PartialDeposits,
};
use flotilla_cluster::collect::exit::{CollectedExit, PartialExits, access_root};
use flotilla_cluster::collect::registration::{
    CollectedRegistrations, PartialRegistrations, RegistrationGroup, RegistrationQuery,
    SharePartial, ValidatorRegistrations,
};
use flotilla_crypto::IdentityPublicKey;
use flotilla_types::{PublicKeyBytes, VoluntaryExit};

/// Partial signatures over one exit, by share.
type Exit = (VoluntaryExit, BTreeMap<u64, String>);

struct Cluster {
    lock: Lock,
    identities: Vec<IdentityPublicKey>,
    state: Mutex<Collected>,
}

#[derive(Default)]
struct Collected {
    exits: BTreeMap<PublicKeyBytes, Exit>,
    deposits: BTreeMap<PublicKeyBytes, CollectedDeposits>,
    registrations: BTreeMap<PublicKeyBytes, Vec<RegistrationGroup>>,
}

/// What the server says when it says no.
struct Refusal(StatusCode, &'static str);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "message": self.1 }))).into_response()
    }
}

/// Most amounts for one validator, as in a definition.
const MAX_AMOUNTS: usize = 256;

const NO_CLUSTER: Refusal = Refusal(StatusCode::NOT_FOUND, "lock not found");
const NOTHING: Refusal = Refusal(StatusCode::NOT_FOUND, "not found");
const NOT_ALLOWED: Refusal = Refusal(StatusCode::UNAUTHORIZED, "unauthorized");
const NO_SHARE: Refusal = Refusal(StatusCode::BAD_REQUEST, "no such share or validator");

/// The server for one cluster. `None` if its operators have no valid ENRs.
#[must_use]
pub fn router(lock: Lock) -> Option<Router> {
    let peers = lock.peers().ok()?;
    let cluster = Arc::new(Cluster {
        identities: peers.iter().map(|peer| peer.public_key).collect(),
        lock,
        state: Mutex::default(),
    });
    let router = Router::new()
        .route("/exp/partial_exits/{lock}", post(post_exits))
        .route(
            "/exp/partial_exits/{lock}/{share}/{validator}",
            delete(delete_exit),
        )
        .route("/exp/exit/{lock}/{share}/{validator}", get(get_exit))
        .route(
            "/deposit_data/partial_deposits/{lock}/{share}",
            post(post_deposits),
        )
        .route("/deposit_data/{lock}/{validator}", get(get_deposits))
        .route(
            "/fee_recipient/partial/{lock}/{share}",
            post(post_registrations),
        )
        .route("/fee_recipient/{lock}", post(get_registrations));
    Some(router.with_state(cluster))
}

impl Cluster {
    fn is(&self, hash: &str) -> Result<(), Refusal> {
        let own = format!("0x{}", hex::encode(self.lock.lock_hash()));
        if hash == own { Ok(()) } else { Err(NO_CLUSTER) }
    }

    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identity(&self, share: u64) -> Result<&IdentityPublicKey, Refusal> {
        let index = usize::try_from(share)
            .ok()
            .and_then(|share| share.checked_sub(1));
        index
            .and_then(|index| self.identities.get(index))
            .ok_or(NO_SHARE)
    }

    fn share_key(&self, validator: &PublicKeyBytes, share: u64) -> Result<PublicKeyBytes, Refusal> {
        let validator = self.lock.validator(validator).map_err(|_| NO_SHARE)?;
        let index = usize::try_from(share)
            .ok()
            .and_then(|share| share.checked_sub(1));
        let key = index.and_then(|index| validator.public_shares.get(index));
        key.copied().ok_or(NO_SHARE)
    }

    fn may_access(
        &self,
        share: u64,
        validator: &PublicKeyBytes,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        let hash = self.lock.lock_hash().try_into().map_err(|_| NO_CLUSTER)?;
        let signature = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer 0x"))
            .and_then(|text| hex::decode(text).ok())
            .ok_or(NOT_ALLOWED)?;
        match self
            .identity(share)?
            .verify(&access_root(hash, validator, share), &signature)
        {
            true => Ok(()),
            false => Err(NOT_ALLOWED),
        }
    }
}

async fn post_exits(
    State(cluster): State<Arc<Cluster>>,
    Path(hash): Path<String>,
    Json(exits): Json<PartialExits>,
) -> Result<(), Refusal> {
    cluster.is(&hash)?;
    let root = exits.root().map_err(|_| NO_SHARE)?;
    if !cluster
        .identity(exits.share_idx)?
        .verify(&root, &exits.signature)
    {
        return Err(NOT_ALLOWED);
    }
    let mut collected = cluster.collected();
    for exit in exits.partial_exits {
        cluster.share_key(&exit.public_key, exits.share_idx)?;
        let signed = exit.signed_exit_message;
        let known = collected
            .exits
            .entry(exit.public_key)
            .or_insert_with(|| (signed.message, BTreeMap::new()));
        if known.0 != signed.message {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "another epoch or index than the exits before",
            ));
        }
        known
            .1
            .insert(exits.share_idx, signed.signature.to_string());
    }
    Ok(())
}

async fn get_exit(
    State(cluster): State<Arc<Cluster>>,
    Path((hash, share, validator)): Path<(String, u64, PublicKeyBytes)>,
    headers: HeaderMap,
) -> Result<Json<CollectedExit>, Refusal> {
    cluster.is(&hash)?;
    cluster.may_access(share, &validator, &headers)?;
    let collected = cluster.collected();
    let (message, partials) = collected.exits.get(&validator).ok_or(NOTHING)?;
    let shares = 1..=cluster.identities.len() as u64;
    Ok(Json(CollectedExit {
        epoch: message.epoch,
        validator_index: message.validator_index,
        signatures: shares
            .map(|share| partials.get(&share).cloned().unwrap_or_default())
            .collect(),
    }))
}

async fn delete_exit(
    State(cluster): State<Arc<Cluster>>,
    Path((hash, share, validator)): Path<(String, u64, PublicKeyBytes)>,
    headers: HeaderMap,
) -> Result<(), Refusal> {
    cluster.is(&hash)?;
    cluster.may_access(share, &validator, &headers)?;
    let mut collected = cluster.collected();
    let (_, partials) = collected.exits.get_mut(&validator).ok_or(NOTHING)?;
    partials.remove(&share).ok_or(NOTHING)?;
    if partials.is_empty() {
        collected.exits.remove(&validator);
    }
    Ok(())
}

async fn post_deposits(
    State(cluster): State<Arc<Cluster>>,
    Path((hash, share)): Path<(String, u64)>,
    Json(deposits): Json<PartialDeposits>,
) -> Result<(), Refusal> {
    cluster.is(&hash)?;
    let mut collected = cluster.collected();
    for deposit in deposits.partial_deposit_data {
        let partial = CollectedPartial {
            partial_public_key: cluster.share_key(&deposit.pubkey, share)?,
            partial_deposit_signature: deposit.signature,
        };
        let known = collected
            .deposits
            .entry(deposit.pubkey)
            .or_insert_with(|| CollectedDeposits {
                pubkey: deposit.pubkey,
                withdrawal_credentials: deposit.withdrawal_credentials.clone(),
                amounts: Vec::new(),
            });
        if known.withdrawal_credentials != deposit.withdrawal_credentials {
            return Err(Refusal(
                StatusCode::BAD_REQUEST,
                "other credentials than the deposits before",
            ));
        }
        let full = known.amounts.len() == MAX_AMOUNTS;
        match known
            .amounts
            .iter_mut()
            .find(|amount| amount.amount == deposit.amount)
        {
            Some(amount) => {
                amount
                    .partials
                    .retain(|known| known.partial_public_key != partial.partial_public_key);
                amount.partials.push(partial);
            }
            None if full => {
                return Err(Refusal(StatusCode::BAD_REQUEST, "too many amounts"));
            }
            None => known.amounts.push(CollectedAmount {
                amount: deposit.amount,
                partials: vec![partial],
            }),
        }
    }
    Ok(())
}

async fn get_deposits(
    State(cluster): State<Arc<Cluster>>,
    Path((hash, validator)): Path<(String, PublicKeyBytes)>,
) -> Result<Json<CollectedDeposits>, Refusal> {
    cluster.is(&hash)?;
    let collected = cluster.collected();
    collected
        .deposits
        .get(&validator)
        .cloned()
        .map(Json)
        .ok_or(NOTHING)
}

async fn post_registrations(
    State(cluster): State<Arc<Cluster>>,
    Path((hash, share)): Path<(String, u64)>,
    Json(registrations): Json<PartialRegistrations>,
) -> Result<(), Refusal> {
    cluster.is(&hash)?;
    let mut collected = cluster.collected();
    for registration in registrations.partial_registrations {
        let validator = registration.message.pubkey;
        cluster.share_key(&validator, share)?;
        let partial = SharePartial {
            share_index: share,
            signature: registration.signature,
        };
        let groups = collected.registrations.entry(validator).or_default();
        // A share's newest open registration counts, so that there are never more groups than shares.
        for group in groups.iter_mut().filter(|group| !group.quorum) {
            group
                .partial_signatures
                .retain(|known| known.share_index != share);
        }
        groups.retain(|group| !group.partial_signatures.is_empty());
        let known = groups
            .iter()
            .position(|group| group.message == registration.message);
        let mut group = match known {
            Some(place) => groups.swap_remove(place),
            None => RegistrationGroup {
                message: registration.message,
                partial_signatures: Vec::new(),
                quorum: false,
            },
        };
        group
            .partial_signatures
            .retain(|known| known.share_index != share);
        group.partial_signatures.push(partial);
        if group.partial_signatures.len() >= cluster.lock.threshold() {
            group.quorum = true;
            groups.retain(|group| !group.quorum);
        }
        groups.push(group);
    }
    Ok(())
}

async fn get_registrations(
    State(cluster): State<Arc<Cluster>>,
    Path(hash): Path<String>,
    Json(query): Json<RegistrationQuery>,
) -> Result<Json<CollectedRegistrations>, Refusal> {
    cluster.is(&hash)?;
    let collected = cluster.collected();
    let wanted = match query.pubkeys.is_empty() {
        true => cluster
            .lock
            .validators()
            .iter()
            .map(|validator| validator.public_key)
            .collect(),
        false => query.pubkeys,
    };
    let validators = wanted.into_iter().map(|pubkey| ValidatorRegistrations {
        pubkey,
        builder_registrations: collected
            .registrations
            .get(&pubkey)
            .cloned()
            .unwrap_or_default(),
    });
    Ok(Json(CollectedRegistrations {
        validators: validators.collect(),
    }))
}
