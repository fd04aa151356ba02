//! Whether the node can do its duties, in the codes and texts of the field (spec 30 §8.6), with one reason more of our own.

use std::fmt;

/// The state that `/readyz` tells, worst first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readiness {
    /// Not evaluated yet.
    #[default]
    Uninitialised,
    /// The slashing database cannot be written: nothing is signed. Our own code.
    DatabaseFailing,
    /// The beacon node does not answer.
    BeaconDown,
    /// The beacon node is syncing.
    BeaconSyncing,
    /// The beacon node has no peers.
    BeaconAlone,
    /// The beacon node is more than 320 slots behind.
    BeaconFarBehind,
    /// Too few peers for agreement, for six evaluations in a row.
    PeersMissing,
    /// No validator client has called for a whole epoch.
    ValidatorClientSilent,
    /// All is well.
    Ready,
}

/// Slots behind the head from which a beacon node counts as far behind.
pub const FAR_BEHIND_SLOTS: u64 = 320;

/// Evaluations in a row with too few peers that are forgiven.
const PATIENCE: u32 = 6;

impl Readiness {
    /// The number shown in `app_monitoring_readyz`.
    pub fn code(self) -> u8 {
        match self {
            Readiness::Uninitialised => 0,
            Readiness::Ready => 1,
            Readiness::BeaconDown => 2,
            Readiness::BeaconSyncing => 3,
            Readiness::PeersMissing => 4,
            Readiness::ValidatorClientSilent => 5,
            Readiness::BeaconAlone => 7,
            Readiness::BeaconFarBehind => 8,
            Readiness::DatabaseFailing => 100,
        }
    }

    /// What to do about it; empty when all is well.
    pub fn next_step(self) -> &'static str {
        match self {
            Readiness::Ready => "",
            Readiness::Uninitialised => {
                "wait; most often no beacon node has answered yet, which the log tells"
            }
            Readiness::BeaconDown => "start the beacon node, or correct --beacon-node-endpoints",
            Readiness::BeaconSyncing => {
                "wait until the beacon node has synced, or name another one with --beacon-node-endpoints"
            }
            Readiness::PeersMissing => {
                "see peers in /flotilla/status for who is missing, and check --p2p-tcp-address, --p2p-peer and firewalls"
            }
            Readiness::ValidatorClientSilent => {
                "start the validator client, and let its beacon node URL be this node's validator API"
            }
            Readiness::BeaconAlone => "check the beacon node's own network and firewall",
            Readiness::BeaconFarBehind => {
                "let the beacon node catch up, or name another one with --beacon-node-endpoints"
            }
            Readiness::DatabaseFailing => {
                "check the disk and the permissions of slashing.sqlite; nothing is signed until it can be written"
            }
        }
    }
}

impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Readiness::Uninitialised => "ready check uninitialised",
            Readiness::Ready => "ok",
            Readiness::BeaconDown => "beacon node down",
            Readiness::BeaconSyncing => "beacon node not synced",
            Readiness::PeersMissing => "quorum peers not connected",
            Readiness::ValidatorClientSilent => "vc not connected",
            Readiness::BeaconAlone => "beacon node has zero peers",
            Readiness::BeaconFarBehind => "beacon node far behind",
            Readiness::DatabaseFailing => "slashing database failing",
        })
    }
}

/// The beacon node's sync status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconState {
    /// Whether it says that it is syncing.
    pub is_syncing: bool,
    /// Slots behind the head.
    pub sync_distance: u64,
    /// Its peers, if it has told.
    pub peers: Option<u64>,
}

/// What one evaluation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyFacts {
    /// `None` if the sync status could not be had.
    pub beacon: Option<BeaconState>,
    /// Peers connected, ourselves not counted.
    pub connected_peers: usize,
    /// The agreement's quorum, ourselves counted.
    pub quorum: usize,
    /// A validator client is expected and has not called in the whole previous epoch.
    pub is_validator_client_silent: bool,
    /// The slashing database cannot be written.
    pub is_database_failing: bool,
}

/// Evaluates once per slot.
#[derive(Clone, Debug)]
pub struct ReadyCheck {
    /// Evaluations in a row with too few peers.
    short: u32,
}

impl Default for ReadyCheck {
    /// Not ready until the peers have been there once.
    fn default() -> Self {
        Self { short: PATIENCE }
    }
}

impl ReadyCheck {
    /// The first thing that is wrong, if any.
    pub fn evaluate(&mut self, facts: &ReadyFacts) -> Readiness {
        let is_short = facts.connected_peers + 1 < facts.quorum;
        self.short = if is_short {
            self.short.saturating_add(1)
        } else {
            0
        };
        if facts.is_database_failing {
            return Readiness::DatabaseFailing;
        }
        let Some(beacon) = facts.beacon else {
            return Readiness::BeaconDown;
        };
        if beacon.is_syncing {
            Readiness::BeaconSyncing
        } else if beacon.peers == Some(0) {
            Readiness::BeaconAlone
        } else if beacon.sync_distance > FAR_BEHIND_SLOTS {
            Readiness::BeaconFarBehind
        } else if self.short >= PATIENCE {
            Readiness::PeersMissing
        } else if facts.is_validator_client_silent {
            Readiness::ValidatorClientSilent
        } else {
            Readiness::Ready
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: ReadyFacts = ReadyFacts {
        beacon: Some(BeaconState {
            is_syncing: false,
            sync_distance: 1,
            peers: Some(20),
        }),
        connected_peers: 2,
        quorum: 3,
        is_validator_client_silent: false,
        is_database_failing: false,
    };

    fn first(facts: ReadyFacts) -> Readiness {
        ReadyCheck::default().evaluate(&facts)
    }

    #[test]
    fn first_fault_in_order_is_told() {
        assert_eq!(first(WELL), Readiness::Ready);
        assert_eq!(
            first(ReadyFacts {
                is_validator_client_silent: true,
                ..WELL
            }),
            Readiness::ValidatorClientSilent
        );
        assert_eq!(
            first(ReadyFacts {
                beacon: None,
                connected_peers: 0,
                ..WELL
            }),
            Readiness::BeaconDown
        );
        assert_eq!(
            first(ReadyFacts {
                beacon: None,
                is_database_failing: true,
                ..WELL
            }),
            Readiness::DatabaseFailing
        );
        let beacon = |is_syncing, sync_distance, peers| {
            let beacon = Some(BeaconState {
                is_syncing,
                sync_distance,
                peers,
            });
            first(ReadyFacts { beacon, ..WELL })
        };
        assert_eq!(beacon(true, 400, Some(0)), Readiness::BeaconSyncing);
        assert_eq!(beacon(false, 400, Some(0)), Readiness::BeaconAlone);
        assert_eq!(beacon(false, 321, None), Readiness::BeaconFarBehind);
        assert_eq!(beacon(false, 320, None), Readiness::Ready);
    }

    #[test]
    fn missing_peers_are_forgiven_for_a_while_once_they_were_there() {
        let alone = ReadyFacts {
            connected_peers: 1,
            ..WELL
        };
        let mut check = ReadyCheck::default();
        assert_eq!(check.evaluate(&alone), Readiness::PeersMissing);
        assert_eq!(check.evaluate(&WELL), Readiness::Ready);
        for _ in 0..5 {
            assert_eq!(check.evaluate(&alone), Readiness::Ready);
        }
        assert_eq!(check.evaluate(&alone), Readiness::PeersMissing);
    }
}
