//! Listens and keeps connections.

use std::{future::Future, net::SocketAddr, sync::Arc};

use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{
    activity::Activity,
    api::ValidatorApi,
    config::Config,
    dispatch::Context,
    observer::Observer,
    timed_stream::{Phase, Timed},
    tls::{ServeError, acceptor},
};
use crate::client::Forwarder;

/// A server that listens, for one cluster.
pub struct Server<A> {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    context: Arc<Context<A>>,
}

impl<A: ValidatorApi> Server<A> {
    /// Takes the configured address. Requests wait until [`Self::run`].
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn bind(
        config: Config,
        api: Arc<A>,
        forwarder: Forwarder,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ServeError> {
        let tls = config.tls.as_ref().map(acceptor).transpose()?;
        let address = config.address;
        let failed = |error| ServeError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            tls,
            context: Arc::new(Context::new(api, config, forwarder, observer)),
        })
    }

    /// Where it listens, with the port that was found if none was configured.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen of its clients.
    pub fn activity(&self) -> Activity {
        self.context.activity.clone()
    }

    /// Serves until `end`, then drops all connections.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(self.context.config.limits.connections));
        let mut connections = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            let stream = tokio::select! {
                () = &mut end => return,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Out of file handles, most likely: without a pause this loop would spin.
                        tracing::warn!(%error, "validator API cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.context.observer.connection_refused();
                continue;
            };
            let (context, tls) = (self.context.clone(), self.tls.clone());
            connections.spawn(async move {
                connect(context, tls, stream).await;
                drop(place);
            });
        }
    }
}

/// How long to wait after a failure to accept.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

async fn connect<A: ValidatorApi>(
    context: Arc<Context<A>>,
    tls: Option<TlsAcceptor>,
    stream: TcpStream,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "validator API connection without TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return converse(context, stream).await;
    };
    match timeout(context.config.limits.handshake, tls.accept(stream)).await {
        Ok(Ok(stream)) => converse(context, stream).await,
        Ok(Err(error)) => tracing::debug!(%error, "validator API: TLS handshake failed"),
        Err(_) => tracing::debug!("validator API: TLS handshake took too long"),
    }
}

async fn converse<A: ValidatorApi>(
    context: Arc<Context<A>>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let (phase, limits) = (Phase::default(), context.config.limits);
    let stream = Timed::new(stream, phase.clone(), limits.header, limits.stall);
    let service = service_fn(move |request: Request<Incoming>| {
        let (context, phase) = (context.clone(), phase.clone());
        phase.serving();
        async move {
            let answer = context.serve(request).await;
            phase.idle();
            answer
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.keep_alive)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "validator API connection ended");
    }
}
