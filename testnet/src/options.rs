//! What a testnet run is made of, and the short forms in which faults are written on a command line.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use flotilla_cluster::MIN_OPERATORS;

use crate::chain::Seed;

/// Most operators a testnet takes; a cluster of more is beyond one machine.
const MAX_NODES: usize = 32;
/// Most validators a testnet creates.
const MAX_VALIDATORS: usize = 4_096;
/// Longest link latency and beacon-node delay, so that a typing mistake shows.
const MAX_DELAY: Duration = Duration::from_secs(600);

/// The list sizes the chain serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    /// Those of mainnet.
    #[default]
    Mainnet,
    /// The small ones.
    Minimal,
}

/// Who makes a node's partial signatures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signer {
    /// The node itself.
    #[default]
    Builtin,
    /// A validator client beside it.
    ValidatorClient,
}

/// How progress is told on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// A live table on a terminal, plain lines elsewhere.
    #[default]
    Auto,
    /// Nothing but warnings.
    Quiet,
}

/// What to run. [`Options::default`] is what `flotilla testnet` runs without flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Operators, 3 to 32. Ignored when `cluster` is given.
    pub nodes: usize,
    /// Shares needed to sign; two thirds of the nodes, rounded up, when `None`.
    pub threshold: Option<usize>,
    /// Validators. Ignored when `cluster` is given.
    pub validators: usize,
    /// Length of a slot: whole seconds, at least one.
    pub slot_time: Duration,
    /// Slots in an epoch.
    pub slots_per_epoch: u64,
    /// Slots 1 to this are judged; without it the testnet runs until Ctrl-C.
    pub slots: Option<u64>,
    /// Judged slots at the start that the figures leave out.
    pub warm_up_slots: u64,
    /// Where keys, databases and logs go: a folder that is new or empty. A temporary one when `None`.
    pub dir: Option<PathBuf>,
    /// A folder with `node0`, `node1`, … to run instead of a new cluster. It is copied, never written to.
    pub cluster: Option<PathBuf>,
    /// Everything random follows from it, keys apart.
    pub seed: Seed,
    /// List sizes of the chain.
    pub preset: Preset,
    /// Who signs for each node; the list begins anew at its end. Empty is the built-in signer everywhere.
    pub signers: Vec<Signer>,
    /// The validator client, as a shell command with `{api}`, `{keystores}` and `{node}`; one of our own when `None`.
    pub vc_command: Option<String>,
    /// Nodes to kill.
    pub kills: Vec<NodeAtSlot>,
    /// Nodes to start again.
    pub restarts: Vec<NodeAtSlot>,
    /// Nodes to stop for a while.
    pub pauses: Vec<NodeInSlots>,
    /// Beacon nodes to slow down for a while.
    pub slow_beacons: Vec<SlowBeacon>,
    /// Beacon nodes that misbehave for a while.
    pub beacon_faults: Vec<BeaconFault>,
    /// One-way latency of the links between nodes.
    pub latency: Duration,
    /// Uniform variation of `latency`, either way.
    pub jitter: Duration,
    /// Somebody else's beacon nodes, by URL, for every node of the cluster; none for the simulator's. They need `cluster`:
    /// the validators must be on that chain already. Slots count from the beginning of the run, and what became of duties
    /// is what the nodes say of it.
    pub beacon_nodes: Vec<String>,
    /// Whether beacon nodes have a builder: validators registered with it get its blocks.
    pub builder: bool,
    /// How progress is told.
    pub progress: Progress,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            nodes: 4,
            threshold: None,
            validators: 8,
            slot_time: Duration::from_secs(3),
            slots_per_epoch: 8,
            slots: None,
            warm_up_slots: 0,
            dir: None,
            cluster: None,
            seed: Seed(1),
            preset: Preset::default(),
            signers: Vec::new(),
            vc_command: None,
            kills: Vec::new(),
            restarts: Vec::new(),
            pauses: Vec::new(),
            slow_beacons: Vec::new(),
            beacon_faults: Vec::new(),
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            beacon_nodes: Vec::new(),
            builder: false,
            progress: Progress::default(),
        }
    }
}

/// Options that do not go together, as a sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// A number is out of its range.
    #[error("--{flag} is {found}; it must be {expected}")]
    Range {
        /// The flag.
        flag: &'static str,
        /// What was given.
        found: String,
        /// What is possible.
        expected: String,
    },
    /// Somebody else's beacon node knows nothing of keys that are made for the run.
    #[error(
        "--beacon-node-endpoints needs --cluster: the validators must be on that chain already"
    )]
    ForeignWithoutCluster,
    /// Somebody else's beacon nodes cannot be made to fail.
    #[error(
        "--beacon-node-endpoints goes without --{0}, which is for the simulator's beacon nodes"
    )]
    ForeignFault(&'static str),
    /// A fault names a node that does not exist.
    #[error("--{flag} names node {node}; nodes are 0 to {last}")]
    NoSuchNode {
        /// The flag.
        flag: &'static str,
        /// The node named.
        node: usize,
        /// The last node there is.
        last: usize,
    },
}

impl Options {
    /// Who signs for a node.
    pub fn signer_of(&self, node: usize) -> Signer {
        let signer = self.signers.get(node % self.signers.len().max(1));
        signer.copied().unwrap_or_default()
    }

    /// The threshold: as given, else two thirds of `nodes`, rounded up.
    pub fn threshold_of(&self, nodes: usize) -> usize {
        self.threshold.unwrap_or((2 * nodes).div_ceil(3))
    }

    /// Checks what can be checked before anything is started.
    ///
    /// # Errors
    /// The first option that is out of range.
    pub fn validate(&self) -> Result<(), UsageError> {
        self.validate_foreign()?;
        range("nodes", self.nodes, MIN_OPERATORS..=MAX_NODES)?;
        range("validators", self.validators, 1..=MAX_VALIDATORS)?;
        range("threshold", self.threshold_of(self.nodes), 2..=self.nodes)?;
        range("slots-per-epoch", self.slots_per_epoch, 1..=1_024)?;
        if self.slot_time < Duration::from_secs(1) || self.slot_time.subsec_nanos() != 0 {
            let found = format!("{:?}", self.slot_time);
            return Err(UsageError::Range {
                flag: "slot-time",
                found,
                expected: "whole seconds, at least 1s".into(),
            });
        }
        if let Some(slots) = self.slots {
            range("slots", slots, self.warm_up_slots + 1..=u64::from(u32::MAX))?;
        }
        range_of_time("latency", self.latency)?;
        range_of_time("jitter", self.jitter)?;
        self.slow_beacons
            .iter()
            .try_for_each(|slow| range_of_time("slow-beacon", slow.delay))
    }

    fn validate_foreign(&self) -> Result<(), UsageError> {
        if self.beacon_nodes.is_empty() {
            return Ok(());
        }
        if self.cluster.is_none() {
            return Err(UsageError::ForeignWithoutCluster);
        }
        let given = [
            ("slow-beacon", !self.slow_beacons.is_empty()),
            ("beacon-fault", !self.beacon_faults.is_empty()),
            ("builder", self.builder),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(UsageError::ForeignFault(flag)),
            None => Ok(()),
        }
    }

    /// Checks that every fault names one of `nodes` nodes.
    ///
    /// # Errors
    /// The first fault that does not.
    pub fn validate_faults(&self, nodes: usize) -> Result<(), UsageError> {
        let kills = self.kills.iter().map(|fault| ("kill", fault.node));
        let restarts = self.restarts.iter().map(|fault| ("restart", fault.node));
        let pauses = self.pauses.iter().map(|fault| ("pause", fault.node));
        let slow = self
            .slow_beacons
            .iter()
            .map(|fault| ("slow-beacon", fault.during.node));
        let wrong = self
            .beacon_faults
            .iter()
            .map(|fault| ("beacon-fault", fault.during.node));
        for (flag, node) in kills.chain(restarts).chain(pauses).chain(slow).chain(wrong) {
            if node >= nodes {
                return Err(UsageError::NoSuchNode {
                    flag,
                    node,
                    last: nodes.saturating_sub(1),
                });
            }
        }
        Ok(())
    }
}

fn range<T>(
    flag: &'static str,
    found: T,
    allowed: std::ops::RangeInclusive<T>,
) -> Result<(), UsageError>
where
    T: PartialOrd + std::fmt::Display,
{
    if allowed.contains(&found) {
        return Ok(());
    }
    let expected = format!("{} to {}", allowed.start(), allowed.end());
    Err(UsageError::Range {
        flag,
        found: found.to_string(),
        expected,
    })
}

fn range_of_time(flag: &'static str, found: Duration) -> Result<(), UsageError> {
    if found <= MAX_DELAY {
        return Ok(());
    }
    Err(UsageError::Range {
        flag,
        found: format!("{found:?}"),
        expected: format!("at most {MAX_DELAY:?}"),
    })
}

/// A text that is not what an option takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not of the form {expected}")]
pub struct ParseError {
    found: String,
    expected: &'static str,
}

impl ParseError {
    fn new(found: &str, expected: &'static str) -> Self {
        ParseError {
            found: found.to_owned(),
            expected,
        }
    }
}

/// A node at the start of a slot: `NODE@SLOT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAtSlot {
    /// Index of the node, from 0.
    pub node: usize,
    /// The slot.
    pub slot: u64,
}

impl FromStr for NodeAtSlot {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (node, slot) = text.split_once('@')?;
            Some(NodeAtSlot {
                node: node.parse().ok()?,
                slot: slot.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseError::new(text, "NODE@SLOT, such as 2@6"))
    }
}

/// A node from the start of one slot to the start of a later one: `NODE@A..B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeInSlots {
    /// Index of the node, from 0.
    pub node: usize,
    /// The first slot.
    pub from: u64,
    /// The first slot no longer affected; later than `from`.
    pub until: u64,
}

impl FromStr for NodeInSlots {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (node, slots) = text.split_once('@')?;
            let (from, until) = slots.split_once("..")?;
            let parsed = NodeInSlots {
                node: node.parse().ok()?,
                from: from.parse().ok()?,
                until: until.parse().ok()?,
            };
            (parsed.from < parsed.until).then_some(parsed)
        };
        parse().ok_or_else(|| ParseError::new(text, "NODE@A..B with A before B, such as 1@6..10"))
    }
}

/// A slow beacon node: `NODE@A..B:DELAY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowBeacon {
    /// Whose, and when.
    pub during: NodeInSlots,
    /// How late each answer is.
    pub delay: Duration,
}

impl FromStr for SlowBeacon {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (during, delay) = text.split_once(':')?;
            Some(SlowBeacon {
                during: during.parse().ok()?,
                delay: parse_duration(delay).ok()?,
            })
        };
        parse().ok_or_else(|| {
            ParseError::new(text, "NODE@A..B:DELAY with A before B, such as 0@5..9:2s")
        })
    }
}

/// In which way a beacon node is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// It is behind and says so: 503 to whatever concerns duties.
    Lagging,
    /// It answers 500 to everything.
    Errors,
    /// It answers 200 with nonsense.
    Garbage,
    /// It never answers.
    Silent,
    /// Its answers never end.
    Endless,
    /// Its head jumps to a sibling block now and then, and the roots that duties hang on with it.
    Reorg,
    /// It follows a chain of its own: heads, sources and targets that nobody else has.
    WrongFork,
    /// Blocks that may be a builder's come a whole slot late.
    LateBuilder,
    /// The builder does not reveal its payloads: blinded blocks are refused.
    BadBuilder,
}

impl Misbehaviour {
    /// Each with its name on the command line.
    const NAMES: [(&'static str, Self); 9] = [
        ("lagging", Self::Lagging),
        ("5xx", Self::Errors),
        ("garbage", Self::Garbage),
        ("silent", Self::Silent),
        ("endless", Self::Endless),
        ("reorg", Self::Reorg),
        ("wrong-fork", Self::WrongFork),
        ("late-builder", Self::LateBuilder),
        ("bad-builder", Self::BadBuilder),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        let known = Self::NAMES.iter().find(|(_, known)| *known == self);
        known.map_or("", |(name, _)| name)
    }
}

/// A beacon node that misbehaves: `NODE@A..B:HOW`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconFault {
    /// Whose, and when.
    pub during: NodeInSlots,
    /// How.
    pub how: Misbehaviour,
}

impl FromStr for BeaconFault {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let (during, how) = text.split_once(':')?;
            let (_, how) = Misbehaviour::NAMES.iter().find(|(name, _)| *name == how)?;
            Some(BeaconFault {
                during: during.parse().ok()?,
                how: *how,
            })
        };
        parse().ok_or_else(|| {
            ParseError::new(
                text,
                "NODE@A..B:HOW with A before B and lagging, 5xx, garbage, silent, endless, reorg, wrong-fork, late-builder or bad-builder, such as 0@5..9:5xx",
            )
        })
    }
}

/// A duration with its unit: `20ms`, `3s`, `1.5s`, `250us`, `2m`. A bare `0` is accepted.
///
/// # Errors
/// Anything else.
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    let error = || ParseError::new(text, "a number with a unit, such as 20ms or 3s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let unit_at = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .ok_or_else(error)?;
    let (number, unit) = text.split_at(unit_at);
    let seconds_per_unit = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(error()),
    };
    let number: f64 = number.parse().map_err(|_| error())?;
    // Whole nanoseconds, so that 0.1s is exactly 100ms.
    let nanos = (number * seconds_per_unit * 1e9).round();
    if nanos > 1e18 {
        return Err(error());
    }
    Ok(Duration::from_nanos(nanos as u64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn faults_parse_from_their_short_forms() {
        assert_eq!("2@6".parse(), Ok(NodeAtSlot { node: 2, slot: 6 }));
        assert_eq!(
            "1@6..10".parse(),
            Ok(NodeInSlots {
                node: 1,
                from: 6,
                until: 10
            })
        );
        let during = NodeInSlots {
            node: 0,
            from: 5,
            until: 9,
        };
        assert_eq!(
            "0@5..9:2s".parse(),
            Ok(SlowBeacon {
                during,
                delay: Duration::from_secs(2)
            })
        );
    }

    #[test]
    fn malformed_faults_show_the_form() {
        for text in ["", "2", "@6", "2@", "x@6", "2@6..", "-1@6"] {
            assert!(text.parse::<NodeAtSlot>().is_err(), "{text}");
        }
        for text in ["1@6", "1@10..6", "1@6..6", "1@..6"] {
            assert!(text.parse::<NodeInSlots>().is_err(), "{text}");
        }
        for text in ["0@5..9", "0@5..9:", "0@5..9:sad", "0@9..5:5xx"] {
            assert!(text.parse::<BeaconFault>().is_err(), "{text}");
        }
        for (name, how) in Misbehaviour::NAMES {
            let fault: BeaconFault = format!("0@5..9:{name}").parse().unwrap();
            assert_eq!((fault.how, how.name()), (how, name));
        }
        for text in ["0@5..9", "0@5..9:", "0@5..9:2", "0@9..5:2s"] {
            assert!(text.parse::<SlowBeacon>().is_err(), "{text}");
        }
        let error = "1@6".parse::<NodeInSlots>().unwrap_err().to_string();
        assert!(error.contains("1@6..10"), "{error}");
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("75ms"), Ok(Duration::from_millis(75)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse_duration("0.1s"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        for text in ["", "5", "ms", "1.2.3s", "5 s", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_default_threshold_is_two_thirds_rounded_up() {
        let thresholds = [1, 3, 4, 5, 7, 10].map(|nodes| Options::default().threshold_of(nodes));
        assert_eq!(thresholds, [1, 2, 3, 4, 5, 7]);
    }

    #[test]
    fn options_out_of_range_name_their_flag() {
        let flag = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.validate().unwrap_err().to_string()
        };
        assert!(flag(|options| options.nodes = 0).contains("--nodes"));
        assert!(flag(|options| options.threshold = Some(5)).contains("--threshold"));
        assert!(
            flag(|options| options.slot_time = Duration::from_millis(1_500))
                .contains("--slot-time")
        );
        assert!(flag(|options| options.slots = Some(0)).contains("--slots"));
        assert_eq!(Options::default().validate(), Ok(()));
    }

    #[test]
    fn foreign_beacon_nodes_need_a_cluster_and_take_no_faults() {
        let mut options = Options {
            beacon_nodes: vec!["http://127.0.0.1:5052".into()],
            ..Options::default()
        };
        assert_eq!(options.validate(), Err(UsageError::ForeignWithoutCluster));
        options.cluster = Some("/x".into());
        assert_eq!(options.validate(), Ok(()));
        options.builder = true;
        assert_eq!(options.validate(), Err(UsageError::ForeignFault("builder")));
    }

    #[test]
    fn a_fault_of_a_missing_node_is_refused() {
        let options = Options {
            kills: vec!["4@6".parse().unwrap()],
            ..Options::default()
        };
        assert_eq!(
            options.validate_faults(4).unwrap_err().to_string(),
            "--kill names node 4; nodes are 0 to 3"
        );
        assert_eq!(options.validate_faults(5), Ok(()));
    }
}
