//! What an epoch's rewards say of its attestations.

use flotilla_beacon::client::AttestationRewards;
use flotilla_types::Epoch;
use serde::{Serialize, Serializer};

/// An epoch's attestations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EpochReport {
    /// The epoch.
    #[serde(serialize_with = "number")]
    pub epoch: Epoch,
    /// Validators whose attestation is accounted for.
    pub validators: u64,
    /// Attestations that were included in time.
    pub included: u64,
    /// Votes for the source that were right and in time for a reward.
    pub source: u64,
    /// The same for the target.
    pub target: u64,
    /// The same for the head.
    pub head: u64,
}

/// As a number, like all others on the status page; the Beacon API writes text.
fn number<S: Serializer>(epoch: &Epoch, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(epoch.0)
}

impl EpochReport {
    /// Reads rewards. A penalty for both source and target means that no attestation was included in time. During a leak
    /// right votes bring nothing, so that only a vote whose ideal reward is not zero can be missing.
    pub fn of(epoch: Epoch, rewards: &AttestationRewards) -> Self {
        let ideal = |vote: fn(&flotilla_beacon::client::VoteRewards) -> i64| {
            rewards.ideal.iter().any(|ideal| vote(&ideal.votes) > 0)
        };
        let (pays_source, pays_target, pays_head) = (
            ideal(|votes| votes.source),
            ideal(|votes| votes.target),
            ideal(|votes| votes.head),
        );
        let count = |is: &dyn Fn(&flotilla_beacon::client::VoteRewards) -> bool| {
            let all = rewards.total.iter();
            all.filter(|reward| is(&reward.votes)).count() as u64
        };
        Self {
            epoch,
            validators: rewards.total.len() as u64,
            included: count(&|votes| votes.source >= 0 || votes.target >= 0),
            source: count(&|votes| votes.source > 0 || (!pays_source && votes.source == 0)),
            target: count(&|votes| votes.target > 0 || (!pays_target && votes.target == 0)),
            head: count(&|votes| votes.head > 0 || (!pays_head && votes.head == 0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use flotilla_beacon::client::{IdealReward, ValidatorReward, VoteRewards};
    use flotilla_types::ValidatorIndex;

    use super::*;

    fn rewards(ideal: VoteRewards, total: &[VoteRewards]) -> AttestationRewards {
        let reward = |(index, votes): (u64, &VoteRewards)| ValidatorReward {
            validator_index: ValidatorIndex(index),
            votes: *votes,
        };
        AttestationRewards {
            ideal: vec![IdealReward {
                effective_balance_gwei: 32_000_000_000,
                votes: ideal,
            }],
            total: (0..).zip(total).map(reward).collect(),
        }
    }

    fn votes(source: i64, target: i64, head: i64) -> VoteRewards {
        VoteRewards {
            head,
            target,
            source,
        }
    }

    #[test]
    fn a_penalty_for_source_and_target_is_an_attestation_that_was_not_included() {
        let ideal = votes(2000, 4000, 2000);
        let total = [
            votes(1990, 3990, 1990),
            votes(1990, 3990, 0),
            votes(1990, -4000, 0),
            votes(-2000, -4000, 0),
        ];
        let report = EpochReport::of(Epoch(7), &rewards(ideal, &total));
        let expected = EpochReport {
            epoch: Epoch(7),
            validators: 4,
            included: 3,
            source: 3,
            target: 2,
            head: 1,
        };
        assert_eq!(report, expected);
    }

    #[test]
    fn in_a_leak_right_votes_bring_nothing_and_are_right_nevertheless() {
        let report = EpochReport::of(
            Epoch(7),
            &rewards(votes(0, 0, 0), &[votes(0, 0, 0), votes(-2000, -4000, 0)]),
        );
        assert_eq!((report.included, report.source, report.target), (1, 1, 1));
    }
}
