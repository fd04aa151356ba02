//! A small validator client: what signs in `flotilla testnet --signer vc`.
//!
//! It exists so that a cluster's validator API is tested by something that uses it as the clients of the field do: over
//! the public Beacon API alone, with key shares it takes for keys. So it shares no code with the node's side of that
//! API, and it must not know that a middleware answers, except that `distributed` lets the node combine selection
//! proofs. With whole keys and without that it serves a plain beacon node.
//!
//! It is a test tool. Its protection against slashing is in memory only: never give it a key that is worth anything.
//!
//! | file | one idea |
//! |---|---|
//! | `slots` | the timetable of a slot |
//! | `schedule`, `keeper` | which duties there are, and when that must be asked again |
//! | `propose`, `attest`, `aggregate`, `sync_message`, `contribute`, `exit` | one duty each |
//! | `select`, `prepare` | what precedes duties |
//! | `http`, `events`, `startup` | the node |
//! | `keys`, `guard`, `report` | secrets, what must not be signed, counts |

mod aggregate;
mod attest;
mod clock;
mod context;
mod contribute;
mod events;
mod exit;
mod guard;
mod http;
mod keeper;
mod keys;
mod list;
mod prepare;
mod propose;
mod report;
mod schedule;
mod select;
mod slots;
mod startup;
mod sync_message;

use std::sync::Arc;

use flotilla_types::{Epoch, ExecutionAddress};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::context::Context;
use self::guard::Guard;
use self::http::Http;
use self::keeper::Keeper;
use self::report::Counts;
use self::schedule::Duties;

pub use keys::{KeySource, KeysError};
pub use report::{Count, Kind, Report};

/// Settings of a validator client.
#[derive(Clone, Debug)]
pub struct Options {
    /// URL of the beacon node or middleware.
    pub beacon_node: String,
    /// The keys.
    pub keys: KeySource,
    /// Whether the node is to combine selection proofs: it is a middleware, and the keys are shares.
    pub distributed: bool,
    /// Whether bodies and answers are SSZ where the API has that.
    pub ssz: bool,
    /// Whether to register with builders and take their blocks.
    pub builder: bool,
    /// Submit voluntary exits of all validators at the start of this epoch.
    pub exit_epoch: Option<Epoch>,
    /// Who receives the fees.
    pub fee_recipient: ExecutionAddress,
    /// Stop after so many slots.
    pub slots: Option<u64>,
}

/// Runs a client until its slots are done or `stop` is cancelled; duties under way are finished first. Waits for the
/// beacon node as long as it takes.
///
/// # Errors
/// [`KeysError`] if there is nothing to sign with.
pub async fn run(options: Options, stop: CancellationToken) -> Result<Report, KeysError> {
    let source = options.keys.clone();
    let keys = tokio::task::spawn_blocking(move || source.load()).await;
    // Loading does not panic, and only the end of the runtime cancels it.
    let keys = keys.unwrap_or(Err(KeysError::Count { count: 0 }))?;
    let counts = Counts::new();
    let http = Http::new(&options.beacon_node, options.ssz);
    let Some(chain) = startup::chain(&http, &stop).await else {
        return Ok(counts.report());
    };
    tracing::info!(
        keys = keys.len(),
        genesis = %chain.genesis_time,
        slot = ?chain.spec.slot_duration,
        "the chain is known"
    );
    let (duties, known) = watch::channel(Duties::default());
    let (head, heads) = watch::channel(None);
    let context = Arc::new(Context {
        http,
        chain,
        keys,
        counts,
        guard: Guard::default(),
        duties: known,
        heads,
        distributed: options.distributed,
        builder: options.builder,
        exit_epoch: options.exit_epoch,
        fee_recipient: options.fee_recipient,
    });
    let helpers = CancellationToken::new();
    let keeper = Keeper::new(Arc::clone(&context), duties).run(helpers.clone());
    let events = events::follow(&context, head, helpers.clone());
    let slots = async {
        slots::run(Arc::clone(&context), options.slots, stop).await;
        helpers.cancel();
    };
    tokio::join!(keeper, events, slots);
    Ok(context.counts.report())
}
