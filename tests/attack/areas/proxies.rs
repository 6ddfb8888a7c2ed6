//! Proxies that users name.

use serde_json::json;

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::by_alice,
    stage::Stage,
    support::Backend,
};

const CONNECT: &str =
    "mutation($i: ConnectOrangeHrmInput!) { connectOrangeHrm(input: $i) { operation { id } } }";

pub(crate) async fn area(backend: Backend) -> Outcome {
    let closed = Stage::start(backend).await;
    let mut outcome = play(
        &closed,
        vec![
            with("http://me:canary-pw@proxy.test:3128"),
            with("http://proxy.test"),
            with(""),
        ],
    )
    .await;
    closed.stop().await;
    let open = Stage::with(backend, |config| {
        config.operations.proxies.allow_user_proxy = true;
    })
    .await;
    let more = play(&open, PROXIES.iter().map(|proxy| with(proxy)).collect()).await;
    open.stop().await;
    outcome.cases += more.cases;
    outcome.failures.extend(more.failures);
    outcome
}

#[rustfmt::skip]
const PROXIES: [&str; 40] = [
    "", " ", "proxy.test", "proxy.test:3128", "//proxy.test", "https://me:canary-pw@proxy.test", "socks5://me:canary-pw@proxy.test", "ftp://proxy.test", "file:///etc/passwd",
    "gopher://proxy.test:70/_x", "javascript:alert(1)", "data:text/plain,canary-x", "http:", "http://", "http:///", "http://:3128", "http://me:canary-pw@", "http://proxy.test:0x50",
    "http://proxy.test:99999", "http://proxy.test:-1", "http://proxy.test/path", "http://proxy.test?canary-x", "http://proxy.test#canary-x", "http://proxy.test\r\nX: canary-x",
    "http://pro\txy.test", " http://proxy.test", "http://proxy.test ", "ht\ntp://proxy.test", "http:\\\\proxy.test", "http:proxy.test", "http:/proxy.test", "http://proxy.test\0", "http://[::1", "http://[canary]/",
    "http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080", "http://169.254.169.254/", "http://0.0.0.0:1", "http://2130706433",
];

fn with(proxy: &str) -> Case {
    let input = json!({ "i": { "username": "Admin", "password": "canary-pw", "proxy": proxy } });
    case(
        format!("the proxy {proxy:?}"),
        by_alice(CONNECT, &input),
        Due::Error(200, "BAD_USER_INPUT"),
    )
}
