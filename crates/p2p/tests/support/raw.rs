//! A peer of which the test writes every byte: libp2p's connection, no swarm, no negotiation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
};

use futures::{AsyncReadExt, AsyncWriteExt, future::poll_fn};
use libp2p::{
    Multiaddr, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox},
        transport::{DialOpts, PortUse},
        upgrade::Version,
    },
    identity::{Keypair, secp256k1},
    noise, tcp, yamux,
};
use tokio::sync::{mpsc, oneshot};

/// A connection to a node; its streams carry only what the test writes.
pub struct RawPeer {
    open: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    accepted: mpsc::Receiver<SubstreamBox>,
    frozen: Arc<AtomicBool>,
}

impl RawPeer {
    pub async fn connect(secret: [u8; 32], address: Multiaddr) -> Self {
        let secret = secp256k1::SecretKey::try_from_bytes(secret).unwrap();
        let identity = Keypair::from(secp256k1::Keypair::from(secret));
        let mut transport = tcp::tokio::Transport::new(tcp::Config::new())
            .upgrade(Version::V1)
            .authenticate(noise::Config::new(&identity).unwrap())
            .multiplex(many_streams())
            .map(|(_, muxer), _| StreamMuxerBox::new(muxer))
            .boxed();
        let opts = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let muxer = transport.dial(address, opts).unwrap().await.unwrap();
        let (open, requests) = mpsc::channel(1);
        let (accept, accepted) = mpsc::channel(1024);
        let frozen = Arc::new(AtomicBool::new(false));
        tokio::spawn(drive(muxer, requests, accept, Arc::clone(&frozen)));
        Self {
            open,
            accepted,
            frozen,
        }
    }

    /// Stops reading from the connection and keeps it open, like a stopped process.
    pub fn freeze(&self) {
        self.frozen.store(true, SeqCst);
    }

    /// A new stream without a byte on it.
    pub async fn open(&self) -> SubstreamBox {
        let (reply, stream) = oneshot::channel();
        self.open.send(reply).await.unwrap();
        stream.await.unwrap()
    }

    /// Opens a stream as go-libp2p does: header, protocol and bytes in one go.
    pub async fn open_with(&self, protocol: &str, bytes: &[u8]) -> SubstreamBox {
        let mut stream = self.open().await;
        let all = [&negotiation(protocol)[..], bytes].concat();
        stream.write_all(&all).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    /// The next stream that the node opens for a protocol, with what it wrote on it so far: the
    /// negotiation is checked and removed, but not answered.
    pub async fn accept(&mut self, protocol: &str) -> SubstreamBox {
        let expected = negotiation(protocol);
        loop {
            let mut stream = super::patiently(self.accepted.recv()).await.unwrap();
            let mut proposed = vec![0; HEADER.len() + 1];
            stream.read_exact(&mut proposed).await.unwrap();
            let mut length = [0];
            stream.read_exact(&mut length).await.unwrap();
            let mut name = vec![0; length[0].into()];
            stream.read_exact(&mut name).await.unwrap();
            if [&proposed[..], &length, &name].concat() == expected {
                return stream;
            }
        }
    }
}

const HEADER: &str = "/multistream/1.0.0\n";

fn many_streams() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(4096);
    config
}

/// Header and protocol, the same for proposal and answer.
pub fn negotiation(protocol: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in [HEADER.to_owned(), format!("{protocol}\n")] {
        bytes.push(u8::try_from(line.len()).unwrap());
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes
}

/// Everything until the other side closes or resets.
pub async fn read_to_end(stream: &mut SubstreamBox) -> Vec<u8> {
    let mut bytes = Vec::new();
    super::patiently(stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    bytes
}

/// Runs the connection: opens streams on request and keeps those that come in.
async fn drive(
    mut muxer: StreamMuxerBox,
    mut requests: mpsc::Receiver<oneshot::Sender<SubstreamBox>>,
    accept: mpsc::Sender<SubstreamBox>,
    frozen: Arc<AtomicBool>,
) {
    let mut wanted: Option<oneshot::Sender<SubstreamBox>> = None;
    poll_fn(|cx| {
        loop {
            if frozen.load(SeqCst) {
                return Poll::Pending;
            }
            if wanted.is_none() {
                match requests.poll_recv(cx) {
                    Poll::Ready(Some(request)) => wanted = Some(request),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            if wanted.is_some() {
                match muxer.poll_outbound_unpin(cx) {
                    Poll::Ready(Ok(stream)) => {
                        let _gone = wanted.take().map(|wanted| wanted.send(stream));
                        continue;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {}
                }
            }
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    let _full = accept.try_send(stream);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}
