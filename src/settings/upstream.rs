//! What takes operations and runs: Intuned at a safe address, or the simulator of demo mode.

use graphql_server::net::host::is_name;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::{
    DemoSettings, Upstream,
    args::{IntunedArgs, ServeArgs},
    mode::Mode,
    reader::{Reader, SHORTEST},
};
use intuned_client::{ApiGeneration, IntunedConfig};
use outbound::Outbound;

pub(super) fn upstream(
    reader: &mut Reader<'_>,
    args: &ServeArgs,
    mode: Mode,
    outbound: &Outbound,
) -> Option<Upstream> {
    let intuned = &args.intuned;
    let api = reader.choice::<ApiGeneration>("INTUNED_API", &intuned.intuned_api);
    let request_timeout = reader.duration(
        "INTUNED_REQUEST_TIMEOUT",
        &intuned.intuned_request_timeout,
        SHORTEST,
    );
    let delay_scale = delay_scale(
        reader,
        "SIMULATOR_DELAY_SCALE",
        &args.demo.simulator_delay_scale,
    );
    let longest = &args.operations.max_result_bytes;
    let result_limit = reader.number("MAX_RESULT_BYTES", longest, 1024..=1 << 30);
    // `operations` notes it where it is wrong.
    let run_poll_interval = humantime::parse_duration(&args.operations.intuned_poll_interval).ok();
    let Mode::Earnest(because) = mode else {
        return Some(Upstream::Simulator(DemoSettings {
            delay_scale: delay_scale?,
            api: api?,
            request_timeout: request_timeout?,
            run_poll_interval: run_poll_interval?,
            result_limit: result_limit?,
        }));
    };
    let api_key = api_key(reader, intuned.intuned_api_key.as_ref(), because);
    let base_url = base_url(reader, intuned);
    let workspace_id = workspace_id(reader, intuned.intuned_workspace_id.as_ref());
    let project_name = path_segment(
        reader,
        "INTUNED_PROJECT_NAME",
        intuned.intuned_project_name.as_ref(),
    );
    Some(Upstream::Intuned(IntunedConfig {
        base_url: base_url?,
        api_key: api_key?,
        workspace_id: workspace_id?,
        project_name: project_name?,
        api: api?,
        request_timeout: request_timeout?,
        run_poll_interval: run_poll_interval?,
        result_limit: result_limit?,
        outbound: outbound.clone(),
    }))
}

/// `because` is the setting that says that this is no demo.
fn api_key(
    reader: &mut Reader<'_>,
    key: Option<&SecretString>,
    because: Option<&str>,
) -> Option<SecretString> {
    const NAME: &str = "INTUNED_API_KEY";
    match (key, because) {
        (None, None) => reader.note(NAME, "is missing"),
        (None, Some(because)) => reader.note(
            NAME,
            format_args!(
                "is missing; {because} is set, so this is no demo, which DEMO=true would make it"
            ),
        ),
        (Some(key), _) if key.expose_secret().trim().is_empty() => reader.note(NAME, "is empty"),
        (Some(key), _) => {
            return reader.secret(NAME, key, "an API key", |key| {
                let key = key.trim();
                let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
                printable.then(|| SecretString::from(key))
            });
        }
    }
    None
}

fn base_url(reader: &mut Reader<'_>, args: &IntunedArgs) -> Option<Url> {
    let allow_http = reader.switch("INTUNED_ALLOW_HTTP", &args.intuned_allow_http);
    let text = args.intuned_base_url.trim().trim_end_matches('/');
    let expected = "an http or https address without user, query and fragment";
    let url = reader.read("INTUNED_BASE_URL", text, expected, |text| {
        web_url(text).filter(|url| {
            let bare = url.query().is_none() && url.fragment().is_none();
            bare && url.username().is_empty() && url.password().is_none()
        })
    })?;
    if url.scheme() == "http" && !is_loopback(&url) && allow_http == Some(false) {
        reader.note(
            "INTUNED_BASE_URL",
            "is plain http on another host: the API key would be sent in clear. \
             Use https, or allow it with INTUNED_ALLOW_HTTP=true",
        );
        return None;
    }
    Some(url)
}

pub(super) fn workspace_id(reader: &mut Reader<'_>, text: Option<&String>) -> Option<String> {
    path_segment(reader, "INTUNED_WORKSPACE_ID", text)
}

/// What becomes one segment of a path; dots would be taken for the way up.
fn path_segment(
    reader: &mut Reader<'_>,
    setting: &'static str,
    text: Option<&String>,
) -> Option<String> {
    let text = reader.required(setting, text)?;
    let expected = "a name without control characters";
    reader.read(setting, text, expected, |text| {
        let named = !text.is_empty() && text != "." && text != "..";
        (named && !text.contains(char::is_control)).then(|| text.to_owned())
    })
}

pub(super) fn delay_scale(
    reader: &mut Reader<'_>,
    setting: &'static str,
    text: &str,
) -> Option<f64> {
    reader.number(setting, text, 0.0..=100.0)
}

/// An address whose host can be one: a URL's may have characters such as `*`.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_named = url.host_str().is_some_and(is_name);
    (matches!(url.scheme(), "http" | "https") && is_named).then_some(url)
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
