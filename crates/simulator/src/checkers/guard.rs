//! What the own beacon nodes said of votes and blocks, and whether shares kept to it.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_duty::guard::{Question, Verdict};
use flotilla_duty::io::UnsignedSet;
use flotilla_types::{Checkpoint, Duty, SignedData, UnsignedData};

/// The guards of all nodes.
#[derive(Debug, Default)]
pub(super) struct Guards {
    verdicts: BTreeMap<(usize, Duty, Question), Verdict>,
    given: BTreeSet<(usize, Checkpoint, Checkpoint)>,
}

/// What a node's own beacon nodes would be asked about an object.
pub fn question_of(data: &SignedData) -> Option<Question> {
    match data {
        SignedData::Attester(signed) => Some(Question::Vote {
            source: signed.data().source,
            target: signed.data().target,
        }),
        SignedData::Proposer(signed) => Some(Question::Block {
            slot: signed.proposal.slot(),
            parent: signed.proposal.facts().header.parent_root,
        }),
        _ => None,
    }
}

impl Guards {
    /// A node's beacon node has given this by itself.
    pub fn given(&mut self, node: usize, set: &UnsignedSet) {
        let votes = set.values().filter_map(UnsignedData::attester);
        let votes = votes.map(|value| (node, value.data.source, value.data.target));
        self.given.extend(votes);
    }

    /// A node's beacon node has answered.
    pub fn examined(&mut self, node: usize, duty: Duty, question: Question, verdict: Verdict) {
        self.verdicts.insert((node, duty, question), verdict);
    }

    /// Whether a node that signs this goes against its own beacon node; `ask` tells what that one would say if it was not asked.
    pub fn is_against(
        &self,
        node: usize,
        duty: Duty,
        question: Question,
        ask: impl FnOnce() -> Verdict,
    ) -> bool {
        if let Question::Vote { source, target } = question
            && self.given.contains(&(node, source, target))
        {
            return false;
        }
        let said = self.verdicts.get(&(node, duty, question)).copied();
        said.unwrap_or_else(ask) == Verdict::Conflicts
    }
}
