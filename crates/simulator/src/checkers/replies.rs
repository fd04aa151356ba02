//! What validator clients were told: each question once, and nobody another value than anybody else.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_duty::io::{ClientRequest, Question, Reply};

/// All questions and answers of a run.
#[derive(Debug, Default)]
pub(super) struct Replies {
    open: BTreeMap<(usize, ClientRequest), Option<Question>>,
    values: BTreeMap<String, Reply>,
    answered: BTreeSet<(usize, ClientRequest)>,
}

impl Replies {
    /// A client's question (or a delivery, which has none) has reached its node.
    pub fn asked(&mut self, node: usize, request: ClientRequest, question: Option<Question>) {
        self.open.insert((node, request), question);
    }

    /// The node's process died, and with it what its client had asked.
    pub fn forgotten(&mut self, node: usize) {
        self.open.retain(|(of, _), _| *of != node);
    }

    /// A node answers. Whether the answer is the only one, and the same that others got.
    pub fn told(&mut self, node: usize, request: ClientRequest, reply: &Reply) -> bool {
        let question = self.open.remove(&(node, request));
        let only = self.answered.insert((node, request));
        let Some(Some(question)) = question else {
            return only;
        };
        let shared = matches!(
            reply,
            Reply::Attestation(_) | Reply::Block(_) | Reply::Aggregate(_) | Reply::Contribution(_)
        );
        if !shared {
            return only;
        }
        let first = self.values.entry(format!("{question:?}"));
        only && first.or_insert_with(|| reply.clone()) == reply
    }

    /// Nodes that owe an answer.
    pub fn owing(&self) -> impl Iterator<Item = usize> + '_ {
        self.open.keys().map(|(node, _)| *node)
    }
}
