//! What the tests of the Intuned client share.

use std::{sync::Arc, time::Duration};

use ambient::{Clock, Random};
use chrono::{DateTime, Utc};
use intuned_client::{ApiGeneration, CreateAuthSession, IntunedClient, IntunedConfig};
use intuned_simulator::{SimulatedGeneration, Simulator, SimulatorConfig};
use outbound::Outbound;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use url::Url;

pub(crate) const API_KEY: &str = "canary-api-key";
pub(crate) const USERNAME: &str = "canary-username";
pub(crate) const PASSWORD: &str = "canary-\"password\"-\u{e9}";
pub(crate) const PASSCODE: &str = "canary-passcode";
pub(crate) const PROXY: &str = "http://user:canary-proxy-password@proxy.test:3128";

/// Where the paths of one project begin.
pub(crate) const PROJECT: &str = "/api/v1/workspace/ws/projects/hrm";

/// A clock that stands at noon.
#[derive(Debug)]
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> DateTime<Utc> {
        "2026-11-21T12:00:00Z".parse().unwrap()
    }
}

pub(crate) fn config(origin: &str, api: ApiGeneration) -> IntunedConfig {
    IntunedConfig {
        base_url: Url::parse(origin)
            .unwrap()
            .join("/api/v1/workspace")
            .unwrap(),
        api_key: API_KEY.into(),
        workspace_id: "ws".to_owned(),
        project_name: "hrm".to_owned(),
        api,
        request_timeout: Duration::from_secs(30),
        run_poll_interval: Duration::from_millis(1),
        result_limit: 2 << 20,
        outbound: Outbound::default(),
    }
}

pub(crate) fn client_with(config: IntunedConfig) -> IntunedClient {
    IntunedClient::new(config, Arc::new(Noon), Random::from_seed(1)).unwrap()
}

pub(crate) fn client(origin: &str) -> IntunedClient {
    client_with(config(origin, ApiGeneration::Auto))
}

/// One that gives up soon.
pub(crate) fn hasty_client(origin: &str) -> IntunedClient {
    client_with(IntunedConfig {
        request_timeout: Duration::from_secs(1),
        ..config(origin, ApiGeneration::Auto)
    })
}

pub(crate) fn request() -> CreateAuthSession {
    CreateAuthSession {
        id: "chosen".to_owned(),
        username: USERNAME.into(),
        password: PASSWORD.into(),
        proxy: None,
    }
}

/// What a raw server does after it has written its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    Hang,
}

/// Answers every connection, whatever it asks, with these bytes. Answers the server's origin.
pub(crate) async fn raw_server(answer: impl Into<Vec<u8>>, then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let answer = answer.into();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 8192];
                let _ = socket.read(&mut request).await;
                let _ = socket.write_all(&answer).await;
                match then {
                    Then::Close => {}
                    Then::Hang => std::future::pending().await,
                }
            });
        }
    });
    origin
}

/// An origin that refuses connections.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A simulator without delays that is being served, and its origin.
pub(crate) async fn simulate(generation: SimulatedGeneration) -> (Simulator, String) {
    let config = SimulatorConfig {
        generation,
        delay_scale: 0.0,
        api_key: Some(API_KEY.into()),
    };
    let simulator = Simulator::new(config, Arc::new(Noon), Random::from_seed(2));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let server = simulator.clone();
    tokio::spawn(async move { server.serve(listener, std::future::pending()).await });
    (simulator, origin)
}
