//! Everything that crosses the border of an [`Engine`](crate::Engine): one [`Input`] in, any number of [`Output`]s out.
//!
//! The shell around an engine carries out outputs and reports back with inputs. It decides nothing. Whatever a peer said
//! has been checked before it gets here: a consensus message is [`Verified`] with all its justifications; a partial
//! signature is bound to its sender's share but *claimed* until a worker has checked it, and claimed signatures are
//! neither counted as proof, nor submitted, nor passed on.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_crypto::{ShareIndex, Verified};
use flotilla_qbft::{self as qbft, Hash};
use flotilla_types::{
    AggregateValue, AttestationData, AttesterDuty, CommitteeIndex, Duty, DutyKind, Epoch,
    ExecutionAddress, PeerIndex, Proposal, ProposerDuty, PublicKeyBytes, Root, SignatureBytes,
    SignedData, Slot, SyncCommitteeContribution, SyncCommitteeDuty, Timestamp, UnsignedData,
    VoluntaryExit,
};

use crate::guard::{Question as GuardQuestion, Verdict};
use crate::outcome::Outcome;
use crate::slashing::{Refusal, Vote};

/// The kinds of duties an engine handles. What peers send of other kinds is to be dropped before it is decoded.
pub const HANDLED_KINDS: &[DutyKind] = &[
    DutyKind::Proposer,
    DutyKind::Attester,
    DutyKind::Exit,
    DutyKind::Randao,
    DutyKind::PrepareAggregator,
    DutyKind::Aggregator,
    DutyKind::SyncMessage,
    DutyKind::PrepareSyncContribution,
    DutyKind::SyncContribution,
];

/// One thing that a validator's shares sign in a duty. Most duties have one per validator; a member of several sync
/// subcommittees has one for each ([`SignedData::item`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// The validator's group public key.
    pub validator: PublicKeyBytes,
    /// The subcommittee, or 0.
    pub part: u64,
}

impl Item {
    /// The only item of a validator in kinds that have no parts.
    pub const fn whole(validator: PublicKeyBytes) -> Self {
        Self { validator, part: 0 }
    }

    /// The item that a signed object is.
    pub const fn of(validator: PublicKeyBytes, data: &SignedData) -> Self {
        Self {
            validator,
            part: data.item(),
        }
    }
}

/// Which of the beacon node's lists of duties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Roster {
    /// Who attests when.
    Attesters,
    /// Who proposes when.
    Proposers,
    /// Who is in the sync committee.
    SyncCommittee,
}

impl Roster {
    /// Every list.
    pub const ALL: [Roster; 3] = [Roster::Attesters, Roster::Proposers, Roster::SyncCommittee];
}

/// One of the beacon node's lists of duties for an epoch, as far as it concerns this cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignments {
    /// Who attests when.
    Attesters(Vec<AttesterDuty>),
    /// Who proposes when.
    Proposers(Vec<ProposerDuty>),
    /// Who is in the sync committee.
    SyncCommittee(Vec<SyncCommitteeDuty>),
}

impl Assignments {
    /// Which list this is.
    pub const fn roster(&self) -> Roster {
        match self {
            Self::Attesters(_) => Roster::Attesters,
            Self::Proposers(_) => Roster::Proposers,
            Self::SyncCommittee(_) => Roster::SyncCommittee,
        }
    }
}

/// What to ask the beacon node for, so that a duty has something to agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Attestation data.
    Attestations(Vec<AttesterDuty>),
    /// A block.
    Block {
        /// Who proposes.
        proposer: ProposerDuty,
        /// The group's reveal of randomness.
        randao: SignatureBytes,
    },
    /// The best aggregates.
    Aggregates(Vec<AggregateRequest>),
    /// The best contributions.
    Contributions(Vec<ContributionRequest>),
}

impl Request {
    /// For how many validators something is asked.
    pub fn validators(&self) -> usize {
        match self {
            Self::Attestations(list) => list.len(),
            Self::Block { .. } => 1,
            Self::Aggregates(list) => list.len(),
            Self::Contributions(list) => list.len(),
        }
    }
}

/// An aggregate that one of our validators has been selected to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AggregateRequest {
    /// The validator.
    pub validator: PublicKeyBytes,
    /// Its committee.
    pub committee: CommitteeIndex,
    /// What the committee attested, as far as our cluster is concerned.
    pub data: AttestationData,
}

/// A contribution that one of our validators has been selected to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContributionRequest {
    /// The validator.
    pub validator: PublicKeyBytes,
    /// Its subcommittee.
    pub subcommittee: u64,
    /// The head that it signed.
    pub block_root: Root,
}

/// Names a question or a delivery of a validator client until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientRequest(pub u64);

/// What a validator client asks. It is answered when the cluster has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What to attest.
    Attestation {
        /// The slot.
        slot: Slot,
        /// The committee, or 0 for any.
        committee: CommitteeIndex,
    },
    /// Which block to sign.
    Block {
        /// The slot.
        slot: Slot,
    },
    /// Which aggregate to sign.
    Aggregate {
        /// The slot.
        slot: Slot,
        /// Root of the attestation data.
        data_root: Root,
        /// The committee; only told apart from Electra on.
        committee: CommitteeIndex,
    },
    /// Which contribution to sign.
    Contribution {
        /// The slot.
        slot: Slot,
        /// The subcommittee.
        subcommittee: u64,
        /// The head that was signed.
        block_root: Root,
    },
    /// The group's signatures over these items.
    Combined {
        /// The duty.
        duty: Duty,
        /// The items.
        items: Vec<Item>,
    },
}

impl Question {
    /// The duty whose result answers it.
    pub const fn duty(&self) -> Duty {
        match self {
            Self::Attestation { slot, .. } => Duty::new(*slot, DutyKind::Attester),
            Self::Block { slot } => Duty::new(*slot, DutyKind::Proposer),
            Self::Aggregate { slot, .. } => Duty::new(*slot, DutyKind::Aggregator),
            Self::Contribution { slot, .. } => Duty::new(*slot, DutyKind::SyncContribution),
            Self::Combined { duty, .. } => *duty,
        }
    }
}

/// What a validator client is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// What to attest.
    Attestation(AttestationData),
    /// Which block to sign.
    Block(Proposal),
    /// Which aggregate to sign.
    Aggregate(AggregateValue),
    /// Which contribution to sign.
    Contribution(SyncCommitteeContribution),
    /// The group's signatures, in the order asked for.
    Combined(Vec<SignedData>),
    /// All partial signatures were taken.
    Taken,
    /// These were not, and why; the others were.
    NotTaken(Vec<(Item, NotTaken)>),
    /// There is no such duty, it is over, or the cluster did not decide.
    None,
}

/// Why a validator client's partial signature was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It is over something else than the cluster agreed on.
    #[error("it is not what the cluster agreed to sign")]
    NotAgreed,
    /// The agreed value does not have this validator, or must not be signed.
    #[error("the cluster agreed on nothing for this validator")]
    NothingAgreed,
    /// Our share has signed something else for this duty (S8).
    #[error("another object was signed for this duty before")]
    SignedBefore,
    /// The built-in signer signs for this validator (S7).
    #[error("the built-in signer of this node signs for this validator")]
    Builtin,
    /// The slashing database refused (S2).
    #[error("refused by the slashing database: {0}")]
    Slashing(Refusal),
    /// Signing is paused (S11).
    #[error("signing is paused")]
    Paused,
    /// The duty is over, or not one of ours.
    #[error("the duty is over or not one of this cluster")]
    NotDue,
}

/// The signed consensus message as its author encoded it, shown verbatim to others inside justifications.
pub type Seal = Arc<[u8]>;

/// One sealed statement of the agreement protocol.
pub type QbftMessage = qbft::Message<Seal>;

/// What the cluster agrees on: the unsigned data of every validator that has the duty, by group public key.
pub type UnsignedSet = BTreeMap<PublicKeyBytes, UnsignedData>;

/// An unsigned set together with the hash that stands for it in the agreement (`hashProto`, spec 20 §3.4).
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// Hash of the canonical encoding.
    pub hash: Hash,
    /// The decoded set, shared between all places that refer to it.
    pub set: Arc<UnsignedSet>,
}

/// A consensus message of a peer, or our own on its way back to us.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsensusMessage {
    /// The duty whose instance it belongs to.
    pub duty: Duty,
    /// What its author says.
    pub message: QbftMessage,
    /// The statements that justify it.
    pub justification: Vec<QbftMessage>,
    /// The values behind the hashes in `message` and `justification`.
    pub values: Vec<Value>,
}

/// A consensus message of ours that the shell signs, sends, and feeds back as [`Input::Consensus`].
#[derive(Clone, Debug, PartialEq)]
pub struct ConsensusDraft {
    /// The duty whose instance it belongs to.
    pub duty: Duty,
    /// What we say.
    pub draft: qbft::Draft,
    /// The statements that justify it, verbatim.
    pub justification: Vec<QbftMessage>,
    /// The values behind all hashes named in `draft` and `justification`.
    pub values: Vec<Value>,
}

/// One validator's signed object with a share's signature inside.
#[derive(Clone, Debug, PartialEq)]
pub struct Partial {
    /// The object, carrying the partial signature.
    pub data: SignedData,
    /// What the signature is over.
    pub signing_root: Root,
}

/// The partial signatures of one share for one duty.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialSet {
    /// The duty they belong to.
    pub duty: Duty,
    /// Whose share signed.
    pub share: ShareIndex,
    /// By group public key; never empty.
    pub items: BTreeMap<PublicKeyBytes, Partial>,
}

/// Why a fetch from the beacon node brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// What the beacon node or the network said, for the outcome's reason.
    pub text: String,
    /// Whether asking again can help before the deadline.
    pub temporary: bool,
}

/// What a worker found when it combined one validator's claimed partial signatures.
#[derive(Clone, Debug)]
pub enum Combined {
    /// The group signature, checked under the group public key.
    Signature(Verified<SignatureBytes>),
    /// Not enough good shares: these are bad, these are good.
    Short {
        /// Shares whose signature does not verify.
        bad: Vec<ShareIndex>,
        /// Shares whose signature does.
        good: Vec<ShareIndex>,
    },
}

/// One share's claimed signature for one validator, for a worker to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What was signed.
    pub item: Item,
    /// Whose share is said to have signed.
    pub share: ShareIndex,
    /// The claimed signature.
    pub signature: SignatureBytes,
}

/// One item's claimed signatures over one root, for a worker to combine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combination {
    /// What was signed.
    pub item: Item,
    /// What the signatures are over.
    pub signing_root: Root,
    /// At least threshold many shares with their claimed signatures.
    pub partials: Vec<(ShareIndex, SignatureBytes)>,
}

/// One entry for the slashing database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordItem {
    /// The validator's group public key: the database's key, since shares are replaced and history is not (S2).
    pub validator: PublicKeyBytes,
    /// What its share is about to sign.
    pub vote: Vote,
}

/// What an engine takes.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed: [`Engine::deadline`](crate::Engine::deadline) is due. Early or repeated wake-ups change nothing.
    Wake,
    /// One list of an epoch's duties, for this cluster's active validators.
    Duties {
        /// The epoch they are for.
        epoch: Epoch,
        /// The block root they depend on, zero for sync committees; other duties for the same epoch replace them when it
        /// changes.
        dependent_root: Root,
        /// The duties.
        assignments: Assignments,
    },
    /// The beacon node's head moved, and with it what duties depend on (Beacon API, event `head`).
    Head {
        /// The head's epoch.
        epoch: Epoch,
        /// What attesters of `epoch` depend on: the last block two epochs before.
        previous: Root,
        /// What attesters of the next epoch depend on: the last block of the epoch before.
        current: Root,
    },
    /// A list of an epoch's duties could not be had.
    DutiesFailed {
        /// The epoch that was asked for.
        epoch: Epoch,
        /// The list that was asked for.
        roster: Roster,
        /// Why.
        error: FetchError,
    },
    /// The beacon node's answer to [`Output::Fetch`].
    Fetched {
        /// The duty it is for.
        duty: Duty,
        /// The unsigned data of every validator with the duty, or why there is none.
        result: Result<Value, FetchError>,
    },
    /// The beacon node's answer to [`Output::FetchHead`].
    HeadRoot {
        /// The duty it is for.
        duty: Duty,
        /// The head's root, or why there is none.
        result: Result<Root, FetchError>,
    },
    /// The own beacon nodes' answer to [`Output::Examine`].
    Examined {
        /// The duty it is for.
        duty: Duty,
        /// What was asked.
        question: GuardQuestion,
        /// What they know of it.
        verdict: Verdict,
    },
    /// A validator client asks; answered with [`Output::Reply`].
    Ask {
        /// Names the question.
        request: ClientRequest,
        /// What it asks.
        question: Question,
    },
    /// A validator client hands in partial signatures of our share, checked; answered with [`Output::Reply`].
    Offer {
        /// Names the delivery.
        request: ClientRequest,
        /// The signatures; the share is ours.
        set: Verified<PartialSet>,
    },
    /// A validator client no longer waits.
    Forget(ClientRequest),
    /// The operator wants a validator to leave: our share signs this.
    Exit {
        /// The validator.
        validator: PublicKeyBytes,
        /// What to sign.
        exit: VoluntaryExit,
    },
    /// Partial signatures that were kept on disk ([`Output::Keep`]), on the way back in.
    Kept(PartialSet),
    /// Who receives the fees of each validator's blocks; replaces what was said before.
    FeeRecipients(BTreeMap<PublicKeyBytes, ExecutionAddress>),
    /// Whether several contributions of one validator are written, which a quorum reads (spec 30 §2.4).
    Plural(bool),
    /// A consensus message, checked with all that it carries; our own come back through here too.
    Consensus(Verified<ConsensusMessage>),
    /// Partial signatures that peer `from` sent for its own share; claimed, not yet checked.
    Partials {
        /// The sender, known from its connection.
        from: PeerIndex,
        /// What it sent. Its share index is the sender's.
        set: PartialSet,
    },
    /// The database's answer to [`Output::Record`], after its sync.
    Recorded {
        /// The duty it is for.
        duty: Duty,
        /// What may be signed and what may not, by validator.
        results: Vec<(PublicKeyBytes, Result<(), Refusal>)>,
    },
    /// Our share's signatures, answering [`Output::Sign`].
    Signed {
        /// The duty they are for.
        duty: Duty,
        /// One per item asked for.
        signatures: Vec<(Item, SignatureBytes)>,
    },
    /// A worker's answer to [`Output::Check`].
    Checked {
        /// The duty.
        duty: Duty,
        /// The root the signatures are over.
        signing_root: Root,
        /// Claims that hold.
        good: Verified<Vec<Claim>>,
        /// Claims that do not.
        bad: Vec<Claim>,
    },
    /// A worker's answer to [`Output::Combine`].
    Combined {
        /// The duty.
        duty: Duty,
        /// One result per item asked for.
        results: Vec<(Item, Combined)>,
    },
    /// The beacon node's answer to [`Output::Submit`].
    Submitted {
        /// The duty.
        duty: Duty,
        /// Items whose signed object was accepted by a beacon node.
        accepted: Vec<Item>,
        /// Items whose signed object was refused by all, with the reason.
        refused: Vec<(Item, FetchError)>,
    },
    /// Stop (`true`) or resume (`false`) all signing (S11).
    Pause(bool),
}

/// What an engine asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Ask for a list of an epoch's duties; answer with [`Input::Duties`] or [`Input::DutiesFailed`].
    FetchDuties {
        /// The epoch.
        epoch: Epoch,
        /// The list.
        roster: Roster,
    },
    /// Ask the beacon node for a duty's unsigned data; answer with [`Input::Fetched`].
    Fetch {
        /// The duty.
        duty: Duty,
        /// What to ask for.
        request: Request,
    },
    /// Ask the beacon node for its head; answer with [`Input::HeadRoot`].
    FetchHead(Duty),
    /// Ask the own beacon nodes about the chain a value builds on; answer with [`Input::Examined`].
    Examine {
        /// The duty.
        duty: Duty,
        /// The question.
        question: GuardQuestion,
    },
    /// These validators are selected to aggregate, the beacon node may be told so. Only for those that the built-in signer
    /// signs for.
    Selected(Vec<AttesterDuty>),
    /// Tell a validator client.
    Reply {
        /// The question or delivery that is answered.
        request: ClientRequest,
        /// The answer. Boxed, since blocks make it large.
        reply: Box<Reply>,
    },
    /// Keep partial signatures of a duty without deadline on disk, until it has ended.
    Keep(PartialSet),
    /// Append to the vote log, before any later output is carried out (S3). No sync is needed.
    LogPrepared {
        /// The duty.
        duty: Duty,
        /// Round of the certificate.
        round: u64,
        /// Its value.
        value: Value,
        /// The quorum of PREPAREs.
        certificate: Vec<QbftMessage>,
    },
    /// Sign, append to the vote log (S3), send, and feed back as [`Input::Consensus`].
    SendConsensus {
        /// To all peers, or to one that lags.
        to: qbft::Recipients,
        /// What to say.
        draft: ConsensusDraft,
    },
    /// Write to the slashing database, sync, then answer with [`Input::Recorded`] (S2).
    Record {
        /// The duty.
        duty: Duty,
        /// One entry per validator.
        items: Vec<RecordItem>,
    },
    /// Sign with our shares; answer with [`Input::Signed`]. Only ever asked for what the database has recorded.
    Sign {
        /// The duty.
        duty: Duty,
        /// What to sign for, and the signing root.
        items: Vec<(Item, Root)>,
    },
    /// Send our partial signatures to all peers: one per (duty, item), ever (S8); exits are sent again, unchanged.
    SendPartials(PartialSet),
    /// Check claimed partial signatures one by one; answer with [`Input::Checked`].
    Check {
        /// The duty.
        duty: Duty,
        /// What they are over.
        signing_root: Root,
        /// The claims.
        claims: Vec<Claim>,
    },
    /// Combine claimed partial signatures and check the group signatures; answer with [`Input::Combined`].
    Combine {
        /// The duty.
        duty: Duty,
        /// One per item; all that became possible at once, so that their results are submitted together.
        items: Vec<Combination>,
    },
    /// Bring group-signed objects to the beacon nodes; answer with [`Input::Submitted`].
    Submit {
        /// The duty.
        duty: Duty,
        /// The objects.
        items: Vec<(Item, SignedData)>,
    },
    /// A peer said something it should not have; for the log and the counters.
    Rejected {
        /// Who.
        from: PeerIndex,
        /// The duty it was about.
        duty: Duty,
        /// What was wrong.
        reason: Rejected,
    },
    /// A duty moved to another round of agreement; for the log.
    RoundChanged {
        /// The duty.
        duty: Duty,
        /// The round now entered.
        round: u64,
        /// Who leads it.
        leader: PeerIndex,
    },
    /// The cluster has agreed; for the log, the metrics, and the simulator's check of agreement.
    Decided {
        /// The duty.
        duty: Duty,
        /// The deciding round.
        round: u64,
        /// Who led it.
        leader: PeerIndex,
        /// What was decided.
        value: Hash,
    },
    /// A duty has missed the slot in which it pays most and is still being worked on; where it stands.
    Late(Outcome),
    /// A duty has ended.
    Ended(Outcome),
}

/// Why something of a peer was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Rejected {
    /// The agreement refused it.
    #[error("agreement: {0}")]
    Agreement(qbft::Rejection),
    /// The duty is over, or of a kind without agreement or signatures here.
    #[error("the duty has expired")]
    Expired,
    /// The duty is too far ahead, or this node does not do duties of its kind.
    #[error("the duty is not one of ours")]
    UnknownDuty,
    /// The validator is not in the cluster.
    #[error("the validator is not in this cluster")]
    UnknownValidator,
    /// The share index in the message is not the sender's.
    #[error("the share is not the sender's")]
    ForeignShare,
    /// The share has signed another root for the same duty and validator before.
    #[error("the share signed a second root for one duty")]
    SecondRoot,
    /// The signature does not verify under the share's public key.
    #[error("the partial signature does not verify")]
    BadSignature,
    /// The object inside is for another slot or epoch than its envelope.
    #[error("the signed object is for another slot than its envelope")]
    WrongSlot,
    /// More different values for one duty than an honest peer can have.
    #[error("too many values for one duty")]
    TooManyValues,
    /// More duties at once than the bound allows.
    #[error("too many duties at once")]
    TooManyDuties,
}

/// One thing the vote log knew, to be restored before the first input (S3).
#[derive(Clone, Debug)]
pub enum LoggedVote {
    /// An own consensus message that was about to be sent.
    Sent(Verified<ConsensusMessage>),
    /// A prepared certificate.
    Prepared {
        /// The duty.
        duty: Duty,
        /// Round of the certificate.
        round: u64,
        /// Its value.
        value: Value,
        /// The quorum of PREPAREs.
        certificate: Verified<Vec<QbftMessage>>,
    },
}

/// When each stage of a duty was reached; absent stages were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// The own beacon node's data arrived.
    pub fetched: Option<Timestamp>,
    /// The cluster agreed.
    pub agreed: Option<Timestamp>,
    /// The slashing database has synced.
    pub recorded: Option<Timestamp>,
    /// Our own signature was made and sent.
    pub signed: Option<Timestamp>,
}
