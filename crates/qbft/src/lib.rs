//! QBFT: agreement of n processes on one value, as a pure state machine.
//!
//! This is the Istanbul/QBFT algorithm (Moniz, arXiv 2002.03613) with explicit justifications, in
//! the dialect that Charon nodes speak. It must not know what is agreed on: a value is a 32-byte
//! [`Hash`](type@Hash), a process an index, a seal an opaque `S`. It has no clock, no keys, no sockets and no
//! dependencies; time comes in as `now` and goes out as [`Instance::deadline`], both since the Unix
//! epoch. Whoever drives it has checked that the messages really come from their sources.
//!
//! ```
//! use flotilla_qbft::{Config, Faults, Input, Instance, Mode, Output, RoundTimer};
//! use std::time::Duration;
//!
//! let start = Duration::from_secs(1_700_000_000);
//! let timer = RoundTimer::EagerDoubleLinear { start, extra: Duration::ZERO };
//! let config =
//!     Config { nodes: 4, me: 2, leader_offset: 1, timer, mode: Mode::Voting, faults: Faults::default() };
//! let mut instance = Instance::<()>::new(config, start);
//! let mut out = Vec::new();
//! instance.step(start, Input::Propose([7; 32]), &mut out);
//! instance.step(start, Input::Start, &mut out);
//! // Process 2 = (1 + 1) mod 4 leads round 1: it proposes, and its round ends after a second.
//! assert!(matches!(&out[..], [Output::Send { draft, .. }] if draft.value == Some([7; 32])));
//! assert_eq!(instance.deadline(), Some(start + Duration::from_secs(1)));
//! ```
//!
//! # Rules
//!
//! With n processes of which f = ⌊(n − 1)/3⌋ may lie, a quorum is q = ⌈2n/3⌉. Round r is led by
//! process ([`leader_offset`](Config::leader_offset) + r) mod n. Tests name the rule they hold to.
//!
//! * **Q1 Start.** The leader of round 1 proposes its value, as soon as it has one. The round's
//!   timer starts. What arrived earlier is looked at now, in order.
//! * **Q2 Proposal.** On the first justified PRE-PREPARE of this or a later round: enter its round,
//!   ask for the timer again, send PREPARE. A second one in the round gets nothing, also when the
//!   first one is what brought us to the round.
//! * **Q3 Prepared.** On a quorum of PREPAREs for one value in this round: that is our prepared
//!   certificate now; send COMMIT. The proposal itself need not have arrived.
//! * **Q4 Decision.** On a quorum of COMMITs for one value in one round, of any round, or on a
//!   DECIDED that shows them: that value is decided, even if we voted otherwise or not at all.
//! * **Q5 Justification.** A message that does not show what it must is dropped and counts for
//!   nothing. PRE-PREPARE: by the round's leader; after round 1 with a quorum of ROUND-CHANGEs to
//!   its round, none of which has prepared anything, or with the quorum of PREPAREs for its value
//!   that is the latest any of them names. ROUND-CHANGE: with the PREPAREs it claims and nothing
//!   else. DECIDED: with a quorum of COMMITs. All but ROUND-CHANGE: about a value that is not null.
//! * **Q6 Timeout.** Move to the next round: ask for its timer, send ROUND-CHANGE with our prepared
//!   certificate. Expired rounds are run through one at a time.
//! * **Q7 Others ahead.** On f + 1 processes in later rounds: move to the lowest round of the f + 1
//!   highest.
//! * **Q8 New leader.** On a quorum of ROUND-CHANGEs to this round, if we lead it: propose our own
//!   value if none of a quorum has prepared, else the latest prepared value; show the quorum.
//! * **Q9 Verdict.** PREPARE, COMMIT and a proposal of somebody else's value go out only once the
//!   caller has found the value good; the question is asked once per value and delays nothing else.
//!   After a bad verdict, or in the next round, they do not go out at all: the round is over for us
//!   at once, as after a timeout. (Our own value is proposed unasked, but not voted for.)
//! * **Q10 One vote.** At most one value is proposed, prepared and committed to in one round, also
//!   across a crash ([`VoteState`]). With [`Mode::ListenOnly`], none.
//! * **Q11 Catch-up.** After the decision, a ROUND-CHANGE is answered with DECIDED, to its source
//!   only: once for each further round, 16 times in all.
//! * **Q12 Bounds.** 100 messages are kept of each source, with at most 2n others shown in each.
//!   Messages shown count as votes, and everybody once per statement.
//!
//! # Where this differs from Charon
//!
//! Deciding on a COMMIT quorum of a round we are not in (Q4), and looking again at votes that came
//! before their round, follow the paper; Charon waits for one more message. After a failed
//! comparison (its alpha feature `chain_split_halt`) Charon takes an unjustified proposal in the
//! next round; a bad verdict here never loosens Q5. Answering after the decision (Q11) is what
//! Charon's protocol allows and its nodes rarely do. None of this shows on the wire to a peer that
//! follows the rules.

mod catch_up;
mod config;
mod instance;
mod io;
mod justification;
mod message;
mod timer;
mod verdicts;
mod vote_state;
mod votes;
mod waiting;

pub use config::{Config, Faults, Mode, faulty, quorum};
pub use instance::Instance;
pub use io::{Input, Output, Recipients, Rejection, RoundChangeReason};
pub use message::{Draft, Hash, Message, MessageKind};
pub use timer::RoundTimer;
pub use vote_state::VoteState;
