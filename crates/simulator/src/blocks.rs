//! The simulated chain: a tree of blocks, and what each node's beacon node knows of it at a time.
//!
//! Blocks come in time, late, or not at all; some are left aside by the block after them. A node's own beacon node may lag,
//! or follow a branch of its own for a while. Everything else that beacon nodes say follows from the head they see.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_types::{Chain, Checkpoint, Epoch, Root, Slot};

use crate::dice::Dice;
use crate::scenario::{Fork, Scenario};

/// Names a block of the tree.
pub type BlockId = usize;

/// The block that every chain begins with.
const GENESIS: BlockId = 0;
/// When a block comes that is in time, as parts of a slot in thousandths: well before anything that looks at it is due.
const IN_TIME: (u64, u64) = (30, 150);
/// When a late block comes: after the due points of attesters and sync committees, whatever the clock's offset.
const LATE: (u64, u64) = (450, 950);
/// When a block comes during trouble: any time, at due points too.
const ANY_TIME: (u64, u64) = (30, 950);

/// One block.
#[derive(Clone, Copy, Debug)]
struct Block {
    slot: Slot,
    parent: BlockId,
    root: Root,
    /// When beacon nodes that do not lag have it, after genesis.
    arrives: Duration,
    /// The fork it is on, by its place in the scenario; `None` for the chain that wins.
    fork: Option<usize>,
}

/// All blocks of a run, and who sees them when.
#[derive(Debug)]
pub struct Tree {
    blocks: Vec<Block>,
    by_root: BTreeMap<Root, BlockId>,
    seed: u64,
    slot: Duration,
    lags: Vec<crate::scenario::Lag>,
    forks: Vec<Fork>,
}

impl Tree {
    /// The tree of a scenario, up to the slot `end`.
    pub fn grown(scenario: &Scenario, end: u64, mut dice: Dice) -> Self {
        let mut tree = Self {
            blocks: vec![],
            by_root: BTreeMap::new(),
            seed: scenario.seed,
            slot: scenario.slot,
            lags: scenario.lags.clone(),
            forks: scenario.forks.clone(),
        };
        tree.add(Slot(0), GENESIS, Duration::ZERO, None);
        let (mut tip, mut winning) = (GENESIS, vec![GENESIS]);
        for slot in 1..end {
            if dice.permille(scenario.weather.missing) {
                continue;
            }
            let troubled = slot < scenario.troubled_slots;
            let late = dice.permille(scenario.weather.late);
            let within = match (troubled, late) {
                (true, _) if dice.permille(scenario.weather.ill_timed) => ANY_TIME,
                (_, true) => LATE,
                (_, false) => IN_TIME,
            };
            let arrives = tree.time(slot, within, &mut dice);
            let block = tree.add(Slot(slot), tip, arrives, None);
            // The next block leaves this one aside: beacon nodes reorganise by one block.
            if !(troubled && dice.permille(scenario.weather.orphaned)) {
                tip = block;
                winning.push(block);
            }
        }
        for index in 0..tree.forks.len() {
            tree.branch(index, &winning, &mut dice);
        }
        tree
    }

    fn time(&self, slot: u64, (from, to): (u64, u64), dice: &mut Dice) -> Duration {
        let part = |thousandths: u64| self.slot.mul_f64(thousandths as f64 / 1000.0);
        self.slot * slot as u32 + dice.between(part(from), part(to))
    }

    fn branch(&mut self, index: usize, winning: &[BlockId], dice: &mut Dice) {
        let Fork { from, to, .. } = self.forks[index];
        let before = |id: &&BlockId| self.blocks[**id].slot.0 < from;
        let mut tip = winning.iter().rfind(before).copied().unwrap_or(GENESIS);
        for slot in from.max(1)..to {
            let arrives = self.time(slot, IN_TIME, dice);
            tip = self.add(Slot(slot), tip, arrives, Some(index));
        }
    }

    fn add(
        &mut self,
        slot: Slot,
        parent: BlockId,
        arrives: Duration,
        fork: Option<usize>,
    ) -> BlockId {
        let id = self.blocks.len();
        let root = crate::beacon::root(&[self.seed, slot.0, id as u64]);
        self.blocks.push(Block {
            slot,
            parent,
            root,
            arrives,
            fork,
        });
        self.by_root.insert(root, id);
        id
    }

    /// When a node's head may move, after genesis: its blocks come, it stops lagging, it enters or leaves a fork.
    pub fn moves(&self, node: usize) -> Vec<Duration> {
        let arrivals = self.blocks.iter().map(|block| {
            let at = block.arrives;
            at + self.lag(node, at)
        });
        let turns = self.forks.iter().filter(|fork| fork.node == node);
        let turns = turns.flat_map(|fork| [fork.from, fork.to]);
        let ends = self.lags.iter().filter(|lag| lag.node == node);
        let turns = turns.chain(ends.map(|lag| lag.to));
        arrivals
            .chain(turns.map(|slot| self.slot * slot as u32))
            .collect()
    }

    fn lag(&self, node: usize, at: Duration) -> Duration {
        let within =
            |from: u64, to: u64| (self.slot * from as u32..self.slot * to as u32).contains(&at);
        let found = self
            .lags
            .iter()
            .find(|lag| lag.node == node && within(lag.from, lag.to));
        found.map_or(Duration::ZERO, |lag| self.slot * lag.slots as u32)
    }

    fn followed(&self, node: usize, at: Duration) -> Option<usize> {
        let within = |fork: &Fork| {
            fork.node == node
                && (self.slot * fork.from as u32..self.slot * fork.to as u32).contains(&at)
        };
        self.forks.iter().position(within)
    }

    /// Whether a node has a block at a time. Branches are seen by all, or by those that follow them alone.
    fn has(&self, node: usize, block: &Block, at: Duration) -> bool {
        let followed = self.followed(node, at);
        let arrived = block.arrives + self.lag(node, at) <= at;
        let hidden = |fork: usize| !self.forks[fork].seen;
        arrived
            && match (block.fork, followed) {
                (Some(fork), _) if hidden(fork) => followed == Some(fork),
                (None, Some(fork)) if hidden(fork) => block.slot.0 < self.forks[fork].from,
                _ => true,
            }
    }

    /// The head that a node's beacon node follows.
    pub fn head(&self, node: usize, at: Duration) -> BlockId {
        let followed = self.followed(node, at);
        let on_its_chain = |block: &Block| match (followed, block.fork) {
            (Some(fork), Some(of)) => fork == of,
            (Some(fork), None) => block.slot.0 < self.forks[fork].from,
            (None, of) => of.is_none(),
        };
        let candidates = self.blocks.iter().enumerate();
        candidates
            .filter(|(_, block)| on_its_chain(block) && self.has(node, block, at))
            .max_by_key(|(id, block)| (block.slot, *id))
            .map_or(GENESIS, |(id, _)| id)
    }

    /// A block's slot.
    pub fn slot_of(&self, block: BlockId) -> Slot {
        self.blocks[block].slot
    }

    /// A block's root.
    pub fn root_of(&self, block: BlockId) -> Root {
        self.blocks[block].root
    }

    /// The block before; the genesis block is its own.
    pub fn parent(&self, block: BlockId) -> BlockId {
        self.blocks[block].parent
    }

    /// The last block of a chain at or before a slot.
    pub fn ancestor(&self, mut block: BlockId, slot: Slot) -> BlockId {
        while self.blocks[block].slot > slot {
            block = self.blocks[block].parent;
        }
        block
    }

    /// Whether a block has another one among its ancestors, itself included.
    pub fn descends(&self, block: BlockId, ancestor: BlockId) -> bool {
        self.ancestor(block, self.blocks[ancestor].slot) == ancestor
    }

    /// The block of a root, if the node has it.
    pub fn known(&self, node: usize, root: Root, at: Duration) -> Option<BlockId> {
        let id = *self.by_root.get(&root)?;
        self.has(node, &self.blocks[id], at).then_some(id)
    }

    /// When the node will have the block of this root, if it will within `patience`.
    pub fn comes(
        &self,
        node: usize,
        root: Root,
        at: Duration,
        patience: Duration,
    ) -> Option<Duration> {
        let block = &self.blocks[*self.by_root.get(&root)?];
        let comes = (block.arrives + self.lag(node, at)).max(at);
        (comes <= at + patience && self.has(node, block, comes)).then_some(comes)
    }

    /// The checkpoint of an epoch on the chain that ends in `head`.
    pub fn checkpoint(&self, head: BlockId, epoch: Epoch, chain: &Chain) -> Checkpoint {
        let block = self.ancestor(head, chain.first_slot(epoch));
        Checkpoint {
            epoch,
            root: self.root_of(block),
        }
    }

    /// The justified checkpoint of a chain in an epoch: that of the epoch before, once the chain has two thirds of it.
    pub fn justified(&self, head: BlockId, epoch: Epoch, chain: &Chain) -> Checkpoint {
        let before = Epoch(epoch.0.saturating_sub(1));
        let enough = chain.first_slot(before).0 + chain.spec.slots_per_epoch * 2 / 3;
        let justified = match before.0 > 0 && self.slot_of(head).0 >= enough {
            true => before,
            false => Epoch(before.0.saturating_sub(1)),
        };
        self.checkpoint(head, justified, chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Lag;

    const SLOT: Duration = Duration::from_secs(12);

    fn tree(change: impl FnOnce(&mut Scenario)) -> Tree {
        let mut scenario = Scenario::healthy(1, 4);
        change(&mut scenario);
        Tree::grown(&scenario, 20, Dice::seeded(1))
    }

    #[test]
    fn a_lagging_node_sees_the_same_chain_later() {
        let lag = Lag {
            node: 1,
            from: 0,
            to: 20,
            slots: 2,
        };
        let tree = tree(|scenario| scenario.lags = vec![lag]);
        let at = SLOT * 10 + SLOT / 2;
        assert_eq!(tree.slot_of(tree.head(0, at)), Slot(10));
        assert_eq!(tree.slot_of(tree.head(1, at)), Slot(8));
        assert!(tree.descends(tree.head(0, at), tree.head(1, at)));
    }

    #[test]
    fn a_node_on_a_fork_shares_the_blocks_before_it_only() {
        let fork = Fork {
            node: 2,
            from: 5,
            to: 12,
            seen: false,
        };
        let tree = tree(|scenario| scenario.forks = vec![fork]);
        let at = SLOT * 9 + SLOT / 2;
        let (main, own) = (tree.head(0, at), tree.head(2, at));
        assert!(!tree.descends(own, main) && !tree.descends(main, own));
        assert_eq!(tree.ancestor(own, Slot(4)), tree.ancestor(main, Slot(4)));
        assert_eq!(tree.known(0, tree.root_of(own), at), None);
        assert_eq!(tree.known(2, tree.root_of(main), at), None);
        let back = SLOT * 13;
        assert_eq!(tree.head(2, back), tree.head(0, back));
    }

    #[test]
    fn a_block_that_was_left_aside_is_on_no_later_chain() {
        let tree = tree(|scenario| {
            scenario.troubled_slots = 20;
            scenario.weather.orphaned = 1000;
        });
        let at = |slot: u32| SLOT * slot + SLOT / 2;
        assert!(!tree.descends(tree.head(0, at(6)), tree.head(0, at(5))));
    }
}
