//! Group-signed objects on their way to the beacon nodes, and what these made of them.

use flotilla_beacon::client::{BeaconNode, Rejection, SubmitError};
use flotilla_duty::Input;
use flotilla_duty::io::{FetchError, Item};
use flotilla_types::{
    Chain, Duty, Fork, SignedAggregateAndProof, SignedAttestation, SignedContributionAndProof,
    SignedData, SignedProposal, SignedVoluntaryExit, SyncCommitteeMessage,
};

/// The objects of one submission, which are all of one kind.
#[derive(Default)]
struct Batch {
    attestations: Vec<SignedAttestation>,
    proposals: Vec<SignedProposal>,
    aggregates: Vec<SignedAggregateAndProof>,
    messages: Vec<SyncCommitteeMessage>,
    contributions: Vec<SignedContributionAndProof>,
    exits: Vec<SignedVoluntaryExit>,
}

impl Batch {
    fn of(data: Vec<SignedData>) -> Self {
        let mut batch = Self::default();
        for data in data {
            match data {
                SignedData::Attester(signed) => batch.attestations.push(signed),
                SignedData::Proposer(signed) => batch.proposals.push(signed),
                SignedData::Aggregator(signed) => batch.aggregates.push(signed),
                SignedData::SyncMessage(message) => batch.messages.push(message),
                SignedData::SyncContribution(signed) => batch.contributions.push(signed),
                SignedData::Exit(signed) => batch.exits.push(signed),
                // Only the cluster needs these.
                SignedData::BuilderRegistration(_)
                | SignedData::Randao(_)
                | SignedData::PrepareAggregator(_)
                | SignedData::PrepareSyncContribution(_) => {}
            }
        }
        batch
    }
}

/// Brings group-signed objects to the beacon nodes.
pub(crate) async fn submit(
    beacon: &BeaconNode,
    chain: &Chain,
    duty: Duty,
    items: Vec<(Item, SignedData)>,
) -> Input {
    let (items, data): (Vec<Item>, Vec<SignedData>) = items.into_iter().unzip();
    let fork = chain.fork_at(chain.epoch_of(duty.slot));
    let batch = Batch::of(data);
    let Batch {
        attestations,
        proposals,
        aggregates,
        messages,
        contributions,
        exits,
    } = batch;
    let results = [
        submit_attestations(beacon, fork, attestations).await,
        beacon.submit_aggregates(fork, &aggregates).await,
        beacon.submit_sync_messages(&messages).await,
        beacon.submit_contributions(&contributions).await,
    ];
    let mut refused = Vec::new();
    for error in results.into_iter().filter_map(Result::err) {
        refused.extend(error.unaccepted.iter().filter_map(|&position| {
            let item = items.get(position)?;
            Some((*item, refusal(&error, position)))
        }));
    }
    // Blocks and exits are submitted one by one.
    for (position, proposal) in proposals.iter().enumerate() {
        let result = beacon.publish_block(proposal, &chain.spec.sizes).await;
        refused.extend(one_by_one(&items, position, result));
    }
    for (position, exit) in exits.iter().enumerate() {
        let json = serde_json::to_string(exit).expect("numbers and hex can be written");
        let result = beacon.submit_voluntary_exit(json).await;
        refused.extend(one_by_one(&items, position, result));
    }
    let accepted = items
        .into_iter()
        .filter(|item| !refused.iter().any(|(refused, _)| refused == item))
        .collect();
    Input::Submitted {
        duty,
        accepted,
        refused,
    }
}

async fn submit_attestations(
    beacon: &BeaconNode,
    fork: Fork,
    signed: Vec<SignedAttestation>,
) -> Result<(), SubmitError> {
    if fork < Fork::Electra {
        let whole: Vec<_> = signed
            .into_iter()
            .map(|signed| signed.attestation)
            .collect();
        return beacon.submit_attestations(fork, whole.as_slice()).await;
    }
    // The engine takes a member's object only if it names the validator, or puts its own in its place.
    let singles: Vec<_> = signed
        .iter()
        .filter_map(SignedAttestation::to_single)
        .collect();
    match singles.len() == signed.len() {
        true => beacon.submit_attestations(fork, singles.as_slice()).await,
        false => Err(nothing_sent(
            signed.len(),
            "an attestation names no validator",
        )),
    }
}

fn nothing_sent(total: usize, why: &str) -> SubmitError {
    let rejection = Rejection {
        endpoint: "not sent".into(),
        message: why.into(),
    };
    SubmitError {
        total,
        unaccepted: (0..total).collect(),
        rejections: (0..total)
            .map(|position| (position, vec![rejection.clone()]))
            .collect(),
        failures: Vec::new(),
    }
}

fn one_by_one(
    items: &[Item],
    position: usize,
    result: Result<(), SubmitError>,
) -> Option<(Item, FetchError)> {
    let error = result.err()?;
    Some((*items.get(position)?, refusal(&error, 0)))
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
