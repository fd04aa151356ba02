//! What is particular to proposals: the check of a proposed block (S1), the signed object, the slashable vote (S2).
//!
//! A block's own validity is its beacon node's business. What is checked here is what would hurt this validator: another's
//! turn, randomness that is not the group's, fees that go elsewhere.

use flotilla_types::{Proposal, PublicKeyBytes, Root, SignedData, SignedProposal};

use super::UNSIGNED;
use crate::engine::Facts;
use crate::knowledge::Knowledge;
use crate::outcome::ValueFault;
use crate::slashing::{Block, Vote};

/// S1, for the one block of a value.
pub(crate) fn check(
    validator: &PublicKeyBytes,
    proposal: &Proposal,
    knowledge: &Knowledge,
    facts: &Facts<'_>,
) -> Result<(), ValueFault> {
    let block = proposal.facts();
    if proposal.slot() != knowledge.duty.slot {
        return Err(ValueFault::WrongSlot {
            expected: knowledge.duty.slot.0,
            found: proposal.slot().0,
        });
    }
    let expected = facts.chain.fork_at(facts.chain.epoch_of(proposal.slot()));
    if proposal.fork() != expected {
        return Err(ValueFault::WrongFork {
            expected,
            found: proposal.fork(),
        });
    }
    let index = knowledge
        .definitions
        .get(validator)
        .map(|definition| definition.index());
    if index.is_some_and(|index| index != block.header.proposer_index) {
        return Err(ValueFault::WrongProposer(block.header.proposer_index.0));
    }
    match knowledge.lessons.randao.get(validator) {
        None => return Err(ValueFault::RandaoUnknown),
        Some(reveal) if *reveal != block.randao_reveal => return Err(ValueFault::WrongRandao),
        Some(_) => {}
    }
    // A builder's payload pays the builder, who pays the proposer in a transaction of it.
    let configured = facts.fee_recipients.get(validator);
    match (proposal.is_blinded(), block.fee_recipient, configured) {
        (false, Some(found), Some(expected)) if found != *expected => {
            Err(ValueFault::WrongFeeRecipient {
                expected: *expected,
                found,
            })
        }
        _ => Ok(()),
    }
}

/// The block to sign.
pub(crate) fn object(proposal: &Proposal) -> SignedData {
    SignedData::Proposer(SignedProposal {
        proposal: proposal.clone(),
        signature: UNSIGNED,
    })
}

/// What the slashing database must know about a block before it is signed.
pub(crate) fn vote(signed: &SignedProposal, signing_root: Root) -> Vote {
    Vote::Block(Block {
        slot: signed.proposal.slot(),
        signing_root,
    })
}
