//! What attestations brought, and what they could have brought.

use std::collections::BTreeSet;

use flotilla_types::ValidatorIndex;
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{answers::data, exchange::Answer};

/// The rewards of an epoch's attestations.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AttestationRewards {
    /// What a faultless attester would have had, by effective balance.
    #[serde(rename = "ideal_rewards")]
    pub ideal: Vec<IdealReward>,
    /// What each asked validator had.
    #[serde(rename = "total_rewards")]
    pub total: Vec<ValidatorReward>,
}

/// What a faultless attester would have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct IdealReward {
    /// Of a validator with this effective balance, in gwei.
    #[serde(rename = "effective_balance", deserialize_with = "signed")]
    pub effective_balance_gwei: i64,
    /// What each vote brings.
    #[serde(flatten)]
    pub votes: VoteRewards,
}

/// What a validator had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct ValidatorReward {
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// What each vote brought. Source and target below zero: no attestation was included in time.
    #[serde(flatten)]
    pub votes: VoteRewards,
}

/// Rewards of the three votes in gwei, below zero for penalties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct VoteRewards {
    /// For the head; 0 when it was wrong or late.
    #[serde(deserialize_with = "signed")]
    pub head: i64,
    /// For the target.
    #[serde(deserialize_with = "signed")]
    pub target: i64,
    /// For the source.
    #[serde(deserialize_with = "signed")]
    pub source: i64,
}

/// Reads rewards: nobody but those asked for, each at most once.
pub(super) fn read(
    answer: &Answer,
    asked: &[ValidatorIndex],
) -> Result<AttestationRewards, String> {
    let mut rewards: AttestationRewards = data(answer)?;
    let mut open: BTreeSet<_> = asked.iter().copied().collect();
    rewards
        .total
        .retain(|reward| open.remove(&reward.validator_index));
    Ok(rewards)
}

/// A number as decimal text, maybe below zero.
fn signed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom(format!("expected a decimal number, got {text:?}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(target: serde_json::Value) -> Answer {
        let votes = serde_json::json!({ "head": "0", "target": target, "source": "-20", "inactivity": "0" });
        let with = |key: &str, value: &str| {
            let mut line = votes.clone();
            line[key] = value.into();
            line
        };
        let body = serde_json::json!({ "data": {
            "ideal_rewards": [with("effective_balance", "32000000000")],
            "total_rewards": [with("validator_index", "5"), with("validator_index", "6")],
        }});
        Answer {
            body: body.to_string().into_bytes(),
            ..Answer::default()
        }
    }

    #[test]
    fn rewards_may_be_penalties_and_are_those_of_the_asked() {
        let rewards = read(&answer("-40".into()), &[ValidatorIndex(6)]).unwrap();
        let votes = VoteRewards {
            head: 0,
            target: -40,
            source: -20,
        };
        let validator_index = ValidatorIndex(6);
        assert_eq!(
            rewards.total,
            [ValidatorReward {
                validator_index,
                votes
            }]
        );
        assert_eq!(rewards.ideal[0].effective_balance_gwei, 32_000_000_000);
    }

    #[test]
    fn numbers_are_text() {
        assert!(read(&answer(7.into()), &[]).is_err());
        assert!(read(&answer("7.5".into()), &[]).is_err());
    }
}
