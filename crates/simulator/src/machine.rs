//! One simulated node: an engine that comes and goes, and what it has around it.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_crypto::IdentityKey;
use flotilla_duty::io::LoggedVote;
use flotilla_duty::{Cluster, Config, Engine, Faults};
use flotilla_qbft as qbft;
use flotilla_types::{Chain, PublicKeyBytes, Timestamp};
use flotilla_wire::consensus::Codec;
use flotilla_wire::votes;

use crate::disk::Disk;
use crate::scenario::Fault;

/// A node's machine.
pub struct Machine {
    /// The running engine, if the node is up.
    pub engine: Option<Engine>,
    /// Counts starts; answers meant for an earlier life are dropped.
    pub incarnation: u64,
    /// What survives.
    pub disk: Disk,
    /// Its identity.
    pub key: IdentityKey,
    /// The encoder and decoder. All nodes share one, so that a signature that one has checked is not checked again by the
    /// others: nine tenths of a run would be spent on that.
    pub codec: Arc<Codec>,
    /// Facts of the cluster.
    pub cluster: Cluster,
    /// The validators that it signs for by itself; a validator client signs for the others.
    pub builtin: BTreeSet<PublicKeyBytes>,
    /// Its clock minus the true time, in nanoseconds.
    pub offset: i64,
    /// When it will be woken, if a wake-up is pending.
    pub waking: Option<Timestamp>,
    /// Whether its vote log is complete.
    pub votes_known: bool,
    /// Whether its operator has paused it; survives a restart.
    pub paused: bool,
}

impl Machine {
    /// The node's own idea of the time.
    pub fn local(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_nanos(now.as_nanos().saturating_add_signed(self.offset))
    }

    /// The true time at which the node's clock will show `local`.
    pub fn true_time(&self, local: Timestamp) -> Timestamp {
        Timestamp::from_nanos(local.as_nanos().saturating_add_signed(-self.offset))
    }

    /// Starts a new life with what the disk knows.
    pub fn start(&mut self, now: Timestamp, chain: &Arc<Chain>, fault: Option<Fault>) {
        self.incarnation += 1;
        self.waking = None;
        let agreement = qbft::Faults {
            quorum_one_too_low: fault == Some(Fault::QuorumTooLow),
            skip_justification_check: fault == Some(Fault::JustificationUnchecked),
            accept_null_value: fault == Some(Fault::NullAccepted),
        };
        if fault == Some(Fault::VotesForgotten) {
            self.disk.forget_votes();
            self.votes_known = true;
        }
        let mut engine = Engine::new(Config {
            cluster: self.cluster.clone(),
            chain: Arc::clone(chain),
            builtin: self.builtin.clone(),
            started: self.local(now),
            votes_known: self.votes_known,
            faults: Faults {
                agreement,
                ignore_database: fault == Some(Fault::DatabaseIgnored),
                ignore_guard: fault == Some(Fault::GuardOff),
                randao_early: fault == Some(Fault::RandaoEarly),
            },
        });
        engine.restore(self.logged_votes(fault));
        self.engine = Some(engine);
        self.votes_known = true;
    }

    fn logged_votes(&self, fault: Option<Fault>) -> Vec<LoggedVote> {
        match votes::decode(&self.disk.votes().concat(), &self.codec, self.cluster.me) {
            Ok(log) => log.votes,
            // A certificate of a quorum that is too low is none, and `wire` says so.
            Err(_) if fault == Some(Fault::QuorumTooLow) => vec![],
            Err(error) => panic!("the disk gives back what was written: {error}"),
        }
    }
}
