//! The way from validator clients to the engine and back: questions, deliveries, and who waits for which answer.
//!
//! It knows neither HTTP nor duties. A caller that goes away is forgotten by the engine too.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flotilla_crypto::Verified;
use flotilla_duty::Input;
use flotilla_duty::io::{ClientRequest, PartialSet, Question, Reply};
use tokio::sync::{mpsc, oneshot};

type Waiting = Mutex<BTreeMap<ClientRequest, oneshot::Sender<Reply>>>;

/// Who waits for an answer of the engine. Bounded by the requests that the API serves at once.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    inbox: mpsc::Sender<Input>,
    waiting: Arc<Waiting>,
    next: Arc<AtomicU64>,
}

/// Forgets a request whose caller has gone away.
struct Place<'a> {
    clients: &'a Clients,
    request: ClientRequest,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.clients.lock().remove(&self.request).is_some() {
            // If the engine is so busy that its inbox is full, the duty's end will dismiss the question.
            let _ = self.clients.inbox.try_send(Input::Forget(self.request));
        }
    }
}

impl Clients {
    /// Of an engine that takes inputs here.
    pub fn new(inbox: mpsc::Sender<Input>) -> Self {
        Self {
            inbox,
            waiting: Arc::default(),
            next: Arc::default(),
        }
    }

    /// Asks, and waits for the decision; [`Reply::None`] when the node is stopping.
    pub async fn ask(&self, question: Question) -> Reply {
        self.send(|request| Input::Ask { request, question }).await
    }

    /// Hands in partial signatures of our share, and waits until they are settled.
    pub async fn offer(&self, set: Verified<PartialSet>) -> Reply {
        self.send(|request| Input::Offer { request, set }).await
    }

    async fn send(&self, input: impl FnOnce(ClientRequest) -> Input) -> Reply {
        let request = ClientRequest(self.next.fetch_add(1, Ordering::Relaxed));
        let (answer, wait) = oneshot::channel();
        self.lock().insert(request, answer);
        let place = Place {
            clients: self,
            request,
        };
        if self.inbox.send(input(request)).await.is_err() {
            return Reply::None;
        }
        let reply = wait.await.unwrap_or(Reply::None);
        drop(place);
        reply
    }

    /// The engine's answer.
    pub fn answer(&self, request: ClientRequest, reply: Reply) {
        if let Some(waiting) = self.lock().remove(&request) {
            // The caller may just have gone.
            let _ = waiting.send(reply);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ClientRequest, oneshot::Sender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_types::Slot;

    use super::*;

    #[tokio::test]
    async fn an_answer_reaches_who_asked_and_who_went_away_is_forgotten() {
        let (inbox, mut inputs) = mpsc::channel(4);
        let clients = Clients::new(inbox);
        let asking = clients.clone();
        let asked =
            tokio::spawn(async move { asking.ask(Question::Block { slot: Slot(3) }).await });
        let Some(Input::Ask { request, .. }) = inputs.recv().await else {
            panic!("a question was expected");
        };
        clients.answer(request, Reply::Taken);
        assert_eq!(asked.await.unwrap(), Reply::Taken);

        let asking = clients.clone();
        let asked =
            tokio::spawn(async move { asking.ask(Question::Block { slot: Slot(4) }).await });
        let Some(Input::Ask { request, .. }) = inputs.recv().await else {
            panic!("a question was expected");
        };
        asked.abort();
        let Some(Input::Forget(forgotten)) = inputs.recv().await else {
            panic!("the engine was expected to be told");
        };
        assert_eq!(forgotten, request);
        assert!(clients.lock().is_empty());
    }
}
