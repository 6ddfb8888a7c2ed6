//! HTTP/2 as Intuned serves it: over TLS, agreed upon by ALPN.

use std::{
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::http::{Request, Response, header::CONTENT_LENGTH};
use bytes::Bytes;
use h2::{Reason, RecvStream, server::SendResponse};
use intuned_simulator::{Call, PASSCODE};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    API_KEY, Api, Backend, Process, TestApp, eventually, process, tls::Authority,
};

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// Stands before a simulator, speaks HTTP/2 with who agrees to that, and refuses some streams.
#[derive(Clone)]
struct Front {
    address: SocketAddr,
    simulator: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// What connections have agreed upon.
    protocols: Vec<Option<Vec<u8>>>,
    /// Of all requests.
    paths: Vec<String>,
    /// The end of a path, and how often streams that ask for it are still refused.
    refused: Option<(&'static str, usize)>,
}

impl Front {
    async fn start(authority: &Authority, simulator: SocketAddr) -> Self {
        let mut tls = authority.server(&["127.0.0.1"]);
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            simulator,
            shared: Arc::default(),
        };
        let serving = front.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(client, acceptor.clone()));
            }
        });
        front
    }

    fn refuse(&self, path: &'static str, times: usize) {
        self.shared.lock().unwrap().refused = Some((path, times));
    }

    /// How many requests have come to paths with this end.
    fn requests(&self, path: &str) -> usize {
        let shared = self.shared.lock().unwrap();
        shared
            .paths
            .iter()
            .filter(|asked| asked.ends_with(path))
            .count()
    }

    async fn serve(self, client: TcpStream, acceptor: TlsAcceptor) -> Outcome {
        let client = acceptor.accept(client).await?;
        let protocol = client.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        self.shared.lock().unwrap().protocols.push(protocol);
        let mut connection = h2::server::handshake(client).await?;
        while let Some(stream) = connection.accept().await {
            let (request, answer) = stream?;
            tokio::spawn(self.clone().pass_on(request, answer));
        }
        Ok(())
    }

    fn refuses(&self, path: &str) -> bool {
        let mut shared = self.shared.lock().unwrap();
        shared.paths.push(path.to_owned());
        match &mut shared.refused {
            Some((end, times)) if *times > 0 && path.ends_with(*end) => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    async fn pass_on(
        self,
        request: Request<RecvStream>,
        mut answer: SendResponse<Bytes>,
    ) -> Outcome {
        let (mut head, mut body) = request.into_parts();
        if self.refuses(head.uri.path()) {
            answer.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        let mut sent = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            sent.extend_from_slice(&piece);
        }
        head.headers.remove(CONTENT_LENGTH);
        let url = format!("http://{}{}", self.simulator, head.uri.path());
        let passed_on = reqwest::Client::new()
            .request(head.method, url)
            .headers(head.headers)
            .body(sent)
            .send()
            .await?;
        let response = Response::builder().status(passed_on.status()).body(())?;
        let mut stream = answer.send_response(response, false)?;
        stream.send_data(passed_on.bytes().await?, true)?;
        Ok(())
    }
}

async fn until(user: &Api, id: &str, status: &str) -> Value {
    eventually(status, async || {
        user.operation(id).await["status"] == status
    })
    .await;
    user.operation(id).await
}

/// By the program itself, with its own settings for whom to trust.
#[tokio::test]
async fn a_stream_that_is_refused_over_tls_is_sent_again_for_a_start_and_not_for_an_answer() {
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.stop().await;
    let simulator = app.config.intuned.base_url.socket_addrs(|| None).unwrap()[0];
    let authority = Authority::new();
    let front = Front::start(&authority, simulator).await;
    let path = app.config.intuned.base_url.path();
    let base_url = format!("https://{}{path}", front.address);
    let mut settings = process::settings("sqlite:gateway.sqlite", &base_url, API_KEY);
    settings.push(("SSL_CERT_FILE", authority.file().display().to_string()));
    let mut gateway = Process::spawn(&settings);
    let user = Api::new(&gateway.ready().await)
        .sign_up("a@example.com")
        .await;

    front.refuse("/create", 2);
    let operation = user.connect("passcode", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    let asked = until(&user, id, "REQUESTED_MORE_INFO").await;
    assert_eq!(front.requests("/create"), 3);
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);

    front.refuse("/resume", 1);
    let request = asked["infoRequest"]["id"].as_str().unwrap();
    let refused = user.resume(id, request, PASSCODE).await;
    let code = &refused["errors"][0]["extensions"]["code"];
    assert_eq!(code, "UPSTREAM_ERROR", "{refused:#}");
    // The user is asked again, and decides.
    let asked = until(&user, id, "REQUESTED_MORE_INFO").await;
    assert_eq!(front.requests("/resume"), 1);
    assert_eq!(app.intuned.calls(Call::CreateResume), 0);
    let request = asked["infoRequest"]["id"].as_str().unwrap();
    user.resume(id, request, PASSCODE).await;
    until(&user, id, "DONE").await;
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);

    let protocols = front.shared.lock().unwrap().protocols.clone();
    assert!(!protocols.is_empty());
    let all_h2 = protocols
        .iter()
        .all(|agreed| agreed.as_deref() == Some(b"h2"));
    assert!(all_h2, "{protocols:?}");
    gateway.stop().await;
    app.finish().await;
}
