//! An HTTP server that answers every request by a function, exactly with the bytes it says.

use std::sync::{Arc, Mutex};

use flotilla_beacon::client::Url;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// What a client sent.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What the server does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A complete answer.
    Answer {
        status: u16,
        content_type: &'static str,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Exactly these bytes; then the connection is closed.
    Raw(Vec<u8>),
    /// Exactly these bytes; then nothing more, with the connection open.
    Hang(Vec<u8>),
    /// These bytes again and again, as fast as they are taken, after a head without length.
    Endless(&'static [u8]),
}

impl Reply {
    pub(crate) fn json(status: u16, body: impl ToString) -> Self {
        Self::Answer {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: body.to_string().into_bytes(),
        }
    }

    pub(crate) fn ok(body: &serde_json::Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn ssz(body: Vec<u8>) -> Self {
        Self::Answer {
            status: 200,
            content_type: "application/octet-stream",
            headers: Vec::new(),
            body,
        }
    }

    /// What a proxy sends in place of an answer.
    pub(crate) fn html(status: u16) -> Self {
        Self::Answer {
            status,
            content_type: "text/html",
            headers: Vec::new(),
            body: b"<html><body>gateway</body></html>".to_vec(),
        }
    }

    /// A complete answer with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_string()));
        }
        self
    }

    pub(crate) fn events(body: &str) -> Self {
        Self::Raw(
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{body}")
                .into_bytes(),
        )
    }
}

/// A running server; it ends when dropped.
pub(crate) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: AbortHandle,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &log, &*answer).await });
            }
        });
        Self {
            port,
            asked,
            task: task.abort_handle(),
        }
    }

    pub(crate) async fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone()).await
    }

    /// An address nobody listens on: its server has been here and is gone.
    pub(crate) async fn gone() -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap()
    }

    pub(crate) fn url(&self) -> Url {
        format!("http://user:secret@127.0.0.1:{}/base/", self.port)
            .parse()
            .unwrap()
    }

    /// As errors name it.
    pub(crate) fn label(&self) -> String {
        format!("http://127.0.0.1:{}/base", self.port)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: TcpStream,
    log: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = read(&mut stream).await {
        let reply = answer(&asked);
        log.lock().unwrap().push(asked);
        let (bytes, then) = match reply {
            Reply::Answer {
                status,
                content_type,
                headers,
                body,
            } => {
                let length = body.len();
                let headers: String = headers
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}\r\n"))
                    .collect();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n{headers}\r\n"
                );
                ([head.into_bytes(), body].concat(), Then::NextRequest)
            }
            Reply::Raw(bytes) => (bytes, Then::Close),
            Reply::Hang(bytes) => (bytes, Then::Wait),
            Reply::Endless(bytes) => (b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Repeat(bytes)),
        };
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        match then {
            Then::NextRequest => {}
            Then::Close => return,
            Then::Wait => std::future::pending().await,
            Then::Repeat(bytes) => while stream.write_all(bytes).await.is_ok() {},
        }
    }
}

enum Then {
    NextRequest,
    Close,
    Wait,
    Repeat(&'static [u8]),
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            text => lines.push(text.to_owned()),
        }
    }
    let mut first = lines.first()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked {
        method,
        path,
        headers,
        body,
    })
}
