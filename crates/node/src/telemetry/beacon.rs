//! What is seen of the beacon nodes, and of our validators through them.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_beacon::client::{EndpointStatus, Event, Validator, ValidatorStatus};
use flotilla_duty::io::UnsignedSet;
use flotilla_types::{
    Chain, Epoch, ExecutionAddress, PublicKeyBytes, Slot, Timestamp, UnsignedData,
};

use super::ClusterTelemetry;
use super::families::flag;

impl ClusterTelemetry {
    /// A request to a beacon node has ended: `address` is one of those configured, `endpoint` one of a few fixed names.
    pub fn beacon_request(
        &self,
        address: &str,
        endpoint: &'static str,
        took: Duration,
        succeeded: bool,
    ) {
        self.seen().requests.insert(endpoint);
        let labels = self.labels([("addr", address), ("endpoint", endpoint)]);
        self.metrics
            .beacon_latency
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if !succeeded {
            self.metrics.beacon_errors.get_or_create(&labels).inc();
        }
        let labels = self.labels([("endpoint", endpoint)]);
        self.metrics.eth2_requests.get_or_create(&labels).inc();
        self.metrics
            .eth2_latency
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if !succeeded {
            self.metrics.eth2_errors.get_or_create(&labels).inc();
        }
    }

    /// Builder registrations were handed to the beacon node.
    pub fn registrations(&self, taken: bool) {
        let labels = self.labels([]);
        self.metrics.registrations.get_or_create(&labels).inc();
        if !taken {
            self.metrics
                .registration_errors
                .get_or_create(&labels)
                .inc();
        }
    }

    /// How many peers the beacon node has.
    pub fn beacon_peers(&self, peers: u64) {
        self.metrics
            .beacon_peers
            .get_or_create(&self.labels([]))
            .set(peers as f64);
    }

    /// Name and version of the beacon node that answered last.
    pub fn beacon_version(&self, version: &str) {
        let beacon = ("beacon_id", "0");
        self.metrics.beacon_version.replace(
            self.labels([beacon]),
            self.labels([("version", version), beacon]),
        );
    }

    /// How well each beacon node stands.
    pub fn beacon_nodes(&self, endpoints: &[EndpointStatus]) {
        for endpoint in endpoints {
            let labels = self.labels([("addr", &endpoint.endpoint)]);
            flag(&self.metrics.beacon_healthy, &labels, endpoint.healthy);
        }
        let labels = self.labels([]);
        flag(
            &self.metrics.using_fallback,
            &labels,
            serves_fallback(endpoints),
        );
    }

    /// A question that a cache of the beacon node's answers took: `endpoint` is one of a few fixed names.
    pub fn cached(&self, endpoint: &'static str, hit: bool) {
        let family = match hit {
            true => &self.metrics.cache_hits,
            false => &self.metrics.cache_misses,
        };
        family
            .get_or_create(&self.labels([("endpoint", endpoint)]))
            .inc();
    }

    /// The head moved, and made this many entries of a cache stale.
    pub fn cache_dropped(&self, endpoint: &'static str, entries: usize) {
        self.metrics
            .cache_invalidated
            .get_or_create(&self.labels([("endpoint", endpoint)]))
            .inc_by(entries as u64);
    }

    /// An event of a beacon node has come in.
    pub fn beacon_event(&self, address: &str, event: &Event, chain: &Chain, now: Timestamp) {
        let labels = self.labels([("addr", address)]);
        let metrics = &self.metrics;
        let since_start = |slot: Slot| now.saturating_since(chain.slot_start(slot));
        match *event {
            Event::Head { slot, .. } => self.head(address, slot, since_start(slot), chain),
            Event::Block { slot, .. } => metrics
                .sse_block
                .get_or_create(&labels)
                .observe(since_start(slot).as_secs_f64()),
            Event::BlockGossip { slot, .. } => {
                let delay = since_start(slot);
                // One entry for each beacon node.
                self.seen().gossip.insert(address.to_owned(), (slot, delay));
                metrics
                    .sse_block_gossip
                    .get_or_create(&labels)
                    .observe(delay.as_secs_f64());
            }
            Event::ChainReorg { depth, .. } => metrics
                .sse_reorg_depth
                .get_or_create(&labels)
                .observe(depth as f64),
        }
    }

    /// The head event of `slot` came this long after its start.
    fn head(&self, address: &str, slot: Slot, delay: Duration, chain: &Chain) {
        let labels = self.labels([("addr", address)]);
        let metrics = &self.metrics;
        metrics
            .sse_head_slot
            .get_or_create(&labels)
            .set(slot.0 as f64);
        metrics
            .sse_head_delay
            .get_or_create(&labels)
            .observe(delay.as_secs_f64());
        let arrival = {
            let mut seen = self.seen();
            seen.heads += 1;
            seen.late_heads += u64::from(delay > chain.spec.slot_duration / 3);
            seen.gossip.get(address).copied()
        };
        if let Some((of, arrived)) = arrival
            && of == slot
        {
            metrics
                .sse_block_processing
                .get_or_create(&labels)
                .observe(delay.saturating_sub(arrived).as_secs_f64());
        }
    }

    /// Our validators as the chain knows them in `epoch`.
    pub fn validators(&self, validators: &[Validator], epoch: Epoch) {
        let active = validators.iter().filter(|validator| {
            validator.status.is_active()
                || (validator.activation_epoch <= epoch && epoch < validator.exit_epoch)
        });
        self.metrics
            .validators_active
            .get_or_create(&self.labels([]))
            .set(active.count() as f64);
        let mut pending = 0;
        for validator in validators {
            pending += usize::from(is_pending(validator.status));
            self.validator(validator);
        }
        self.seen().pending_validators = pending;
    }

    fn validator(&self, validator: &Validator) {
        let full = validator.pubkey.to_string();
        let short = short_name(&validator.pubkey);
        let labels = [("pubkey_full", full.as_str()), ("pubkey", short.as_str())];
        self.metrics
            .validator_balance
            .get_or_create(&self.labels(labels))
            .set(validator.balance_gwei as f64);
        let status = status_name(validator.status);
        let before = self.seen().statuses.insert(validator.pubkey, status);
        for (status, holds) in before
            .filter(|&before| before != status)
            .map(|before| (before, false))
            .into_iter()
            .chain([(status, true)])
        {
            let labels = self.labels([labels[0], labels[1], ("status", status)]);
            flag(&self.metrics.validator_status, &labels, holds);
        }
    }

    /// Who is to receive the fees of each validator's blocks; replaces what was said before.
    pub fn fee_recipients(&self, recipients: &BTreeMap<PublicKeyBytes, ExecutionAddress>) {
        self.seen().fee_recipients.clone_from(recipients);
    }

    /// Data that our beacon node gave for a duty. Of blocks it is shown whether they are a builder's, and whether those that
    /// are not pay whom they should.
    pub fn fetched(&self, set: &UnsignedSet) {
        for (validator, data) in set {
            if let UnsignedData::Proposer(proposal) = data {
                let expected = self.seen().fee_recipients.get(validator).copied();
                let found = proposal.facts().fee_recipient;
                let pays = expected
                    .zip(found)
                    .map(|(expected, found)| expected == found);
                self.block_fetched(proposal.is_blinded(), pays);
            }
        }
    }

    pub(super) fn block_fetched(&self, is_blinded: bool, pays_configured: Option<bool>) {
        let labels = self.labels([]);
        let two_if = |second: bool| if second { 2.0 } else { 1.0 };
        self.metrics
            .proposal_blinded
            .get_or_create(&labels)
            .set(two_if(!is_blinded));
        // A builder's block pays the proposer by a transaction.
        if let Some(pays) = pays_configured.filter(|_| !is_blinded) {
            self.metrics
                .proposal_recipient
                .get_or_create(&labels)
                .set(two_if(!pays));
        }
    }
}

/// Whether questions go to fallbacks, since no primary is healthy.
fn serves_fallback(endpoints: &[EndpointStatus]) -> bool {
    let healthy = |is_fallback: bool| {
        endpoints
            .iter()
            .any(|endpoint| endpoint.is_fallback == is_fallback && endpoint.healthy)
    };
    !healthy(false) && healthy(true)
}

/// The first seven digits, as people call a validator.
pub(super) fn short_name(validator: &PublicKeyBytes) -> String {
    hex::encode(&validator.0[..4])[..7].to_owned()
}

fn is_pending(status: ValidatorStatus) -> bool {
    matches!(
        status,
        ValidatorStatus::PendingInitialized | ValidatorStatus::PendingQueued
    )
}

/// The status in the Beacon API's words.
fn status_name(status: ValidatorStatus) -> &'static str {
    match status {
        ValidatorStatus::PendingInitialized => "pending_initialized",
        ValidatorStatus::PendingQueued => "pending_queued",
        ValidatorStatus::ActiveOngoing => "active_ongoing",
        ValidatorStatus::ActiveExiting => "active_exiting",
        ValidatorStatus::ActiveSlashed => "active_slashed",
        ValidatorStatus::ExitedUnslashed => "exited_unslashed",
        ValidatorStatus::ExitedSlashed => "exited_slashed",
        ValidatorStatus::WithdrawalPossible => "withdrawal_possible",
        ValidatorStatus::WithdrawalDone => "withdrawal_done",
        ValidatorStatus::Unknown => "unknown",
    }
}
