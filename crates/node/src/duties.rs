//! What the shell asks the beacon node for, in the engine's words: duties, unsigned data, acceptance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use flotilla_beacon::client::{BeaconNode, QueryError, SubmitError, Validator};
use flotilla_duty::Input;
use flotilla_duty::io::{FetchError, UnsignedSet};
use flotilla_types::{
    AttesterDuty, AttesterValue, Chain, CommitteeIndex, Duty, Epoch, Fork, PublicKeyBytes,
    SignedData, UnsignedData,
};

fn failed(error: &QueryError) -> FetchError {
    FetchError {
        text: error.to_string(),
        temporary: error.is_temporary(),
    }
}

/// The attester duties of `epoch` for those of `keys` that are active in it; notes in `active` how many are.
pub(crate) async fn of_epoch(
    beacon: &BeaconNode,
    keys: &[PublicKeyBytes],
    epoch: Epoch,
    active: &AtomicUsize,
) -> Input {
    match try_of_epoch(beacon, keys, epoch, active).await {
        Ok(input) => input,
        Err(error) => Input::DutiesFailed {
            epoch,
            error: failed(&error),
        },
    }
}

async fn try_of_epoch(
    beacon: &BeaconNode,
    keys: &[PublicKeyBytes],
    epoch: Epoch,
    active: &AtomicUsize,
) -> Result<Input, QueryError> {
    let validators = beacon.validators(keys).await?;
    let indices: Vec<_> = validators
        .iter()
        .filter(|v| is_active_in(v, epoch))
        .map(|v| v.index)
        .collect();
    active.store(indices.len(), Ordering::Relaxed);
    let answer = beacon.attester_duties(epoch, &indices).await?;
    Ok(Input::Duties {
        epoch,
        dependent_root: answer.dependent_root,
        attesters: answer.duties,
    })
}

/// Whether a validator has duties in `epoch`; the beacon node's status lags behind an activation.
pub(crate) fn is_active_in(validator: &Validator, epoch: Epoch) -> bool {
    validator.status.is_active()
        || (validator.activation_epoch <= epoch && epoch < validator.exit_epoch)
}

/// The unsigned data of all validators with an attester duty in one slot.
pub(crate) async fn fetch(
    beacon: &BeaconNode,
    chain: &Chain,
    duty: Duty,
    attesters: &[AttesterDuty],
) -> Result<UnsignedSet, FetchError> {
    // EIP-7549: from Electra on, one answer serves all committees.
    let shared = chain.fork_at(chain.epoch_of(duty.slot)) >= Fork::Electra;
    let index = |attester: &AttesterDuty| {
        if shared {
            CommitteeIndex(0)
        } else {
            attester.committee_index
        }
    };
    let mut answers = BTreeMap::new();
    for index in attesters.iter().map(index).collect::<BTreeSet<_>>() {
        let data = beacon
            .attestation_data(duty.slot, index)
            .await
            .map_err(|error| failed(&error))?;
        answers.insert(index, data);
    }
    let value = |attester: &AttesterDuty| {
        let data = *answers.get(&index(attester))?;
        Some((
            attester.pubkey,
            UnsignedData::Attester(AttesterValue {
                data,
                duty: *attester,
            }),
        ))
    };
    Ok(attesters.iter().filter_map(value).collect())
}

/// Nothing was submitted, and trying again would not help.
fn refused(duty: Duty, keys: Vec<PublicKeyBytes>, why: &str) -> Input {
    let error = FetchError {
        text: why.into(),
        temporary: false,
    };
    let refused = keys
        .into_iter()
        .map(|validator| (validator, error.clone()))
        .collect();
    Input::Submitted {
        duty,
        accepted: vec![],
        refused,
    }
}

/// Brings group-signed attestations to the beacon nodes.
pub(crate) async fn submit(
    beacon: &BeaconNode,
    chain: &Chain,
    duty: Duty,
    items: Vec<(PublicKeyBytes, SignedData)>,
) -> Input {
    let fork = chain.fork_at(chain.epoch_of(duty.slot));
    let keys: Vec<PublicKeyBytes> = items.iter().map(|(validator, _)| *validator).collect();
    let signed = items
        .into_iter()
        .map(|(_, data)| match data {
            SignedData::Attester(signed) => Some(signed),
            _ => None,
        })
        .collect::<Option<Vec<_>>>();
    let Some(signed) = signed else {
        return refused(duty, keys, "an item is no attestation");
    };
    let result = match fork >= Fork::Electra {
        true => match signed
            .iter()
            .map(|signed| signed.to_single())
            .collect::<Option<Vec<_>>>()
        {
            Some(singles) => beacon.submit_attestations(fork, singles.as_slice()).await,
            None => return refused(duty, keys, "an attestation names no validator"),
        },
        false => {
            let whole: Vec<_> = signed
                .into_iter()
                .map(|signed| signed.attestation)
                .collect();
            beacon.submit_attestations(fork, whole.as_slice()).await
        }
    };
    let Err(error) = result else {
        return Input::Submitted {
            duty,
            accepted: keys,
            refused: vec![],
        };
    };
    let (refused, accepted): (Vec<_>, Vec<_>) = keys
        .into_iter()
        .enumerate()
        .partition(|(position, _)| error.unaccepted.contains(position));
    Input::Submitted {
        duty,
        accepted: accepted
            .into_iter()
            .map(|(_, validator)| validator)
            .collect(),
        refused: refused
            .into_iter()
            .map(|(position, validator)| (validator, refusal(&error, position)))
            .collect(),
    }
}

/// Why one item was not accepted. A beacon node that refused the item itself will do so again; one that failed may not.
fn refusal(error: &SubmitError, position: usize) -> FetchError {
    match error
        .rejections
        .get(&position)
        .and_then(|rejections| rejections.first())
    {
        Some(rejection) => FetchError {
            text: format!("{}: {}", rejection.endpoint, rejection.message),
            temporary: false,
        },
        None => FetchError {
            text: error.to_string(),
            temporary: true,
        },
    }
}
