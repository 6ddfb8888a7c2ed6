//! The gateway's own way out: the proxy for its connections, and the certificates that it trusts.

#![expect(clippy::doc_markdown, reason = "comments are the help text, as it is")]

use std::{ffi::OsString, fs, path::Path};

use ::outbound::Outbound;
use clap::Args;
use reqwest::{Certificate, Client, NoProxy, Proxy};
use rustls_native_certs::{CertificateResult, load_certs_from_paths};
use secrecy::{ExposeSecret, SecretString};

use super::{args::variable, reader::Reader, upstream::web_url};

/// The name under which the gateway calls others.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

pub(super) const PROXY: &str = "a proxy's address, http://USER:PASSWORD@HOST:PORT";
/// What other programs read, and the gateway does not.
const OTHER_PROXIES: [&str; 4] = ["ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];

#[derive(Args)]
#[command(next_help_heading = "The gateway's own connections")]
pub(super) struct OutboundArgs {
    /// Proxy for what the gateway itself asks of https addresses: Intuned, the identity provider, the
    /// collector of traces; http://USER:PASSWORD@HOST:PORT, read from https_proxy as well. Webhooks go
    /// through none. INTUNED_PROXY is another thing
    #[arg(long, env, value_name = "URL")]
    https_proxy: Option<SecretString>,
    /// What is asked straight all the same, separated by commas: hosts with all that is below them,
    /// addresses, networks, or * for everything; read from no_proxy as well
    #[arg(long, env, value_name = "HOSTS")]
    no_proxy: Option<String>,
    /// File of the certificate authorities to trust, in PEM, in the place of the system's; not for the
    /// database
    #[arg(long, env, value_name = "FILE")]
    ssl_cert_file: Option<OsString>,
    /// Directories of such files, separated by colons, in the place of the system's
    #[arg(long, env, value_name = "DIRECTORIES")]
    ssl_cert_dir: Option<String>,
}

impl OutboundArgs {
    /// The file that decides whom the gateway trusts.
    pub(super) fn trusted_file(&self) -> Option<&Path> {
        self.ssl_cert_file.as_deref().map(Path::new)
    }
}

/// What is wrong is noted.
pub(super) fn outbound(
    reader: &mut Reader<'_>,
    args: &OutboundArgs,
    notes: &mut Vec<String>,
) -> Outbound {
    let proxy = proxy(reader, args, notes);
    Outbound::new(USER_AGENT, proxy, authorities(reader, args))
}

fn proxy(reader: &mut Reader<'_>, args: &OutboundArgs, notes: &mut Vec<String>) -> Option<Proxy> {
    let Some(url) = &args.https_proxy else {
        notes.extend(other_proxy());
        return None;
    };
    let proxy = reader.secret("HTTPS_PROXY", url, PROXY, |text| {
        Proxy::https(read_bare_proxy(text)?.expose_secret()).ok()
    })?;
    let listed = no_proxy(args.no_proxy.as_deref().unwrap_or_default(), notes);
    // reqwest takes it for every name, but for no address.
    let nothing = listed.split(',').any(|entry| entry == "*");
    (!nothing).then(|| proxy.no_proxy(NoProxy::from_string(&listed)))
}

/// With or without a scheme, as other programs take it. A word without either scheme or port is no address.
fn read_bare_proxy(text: &str) -> Option<SecretString> {
    let text = text.trim();
    if text.contains("://") {
        return read_proxy(text);
    }
    let (_, port) = text.trim_end_matches('/').rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    read_proxy(&format!("http://{text}"))
}

/// A proxy's address, with its scheme.
pub(super) fn read_proxy(text: &str) -> Option<SecretString> {
    let text = text.trim();
    let url = web_url(text)?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    bare.then(|| text.into())
}

/// The list in the words that reqwest understands: it knows `*` by itself only, and no ports.
fn no_proxy(list: &str, notes: &mut Vec<String>) -> String {
    let entries = list
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty());
    let understood = entries.map(|entry| {
        let host = entry.strip_prefix('*').filter(|rest| rest.starts_with('.'));
        let host = host.unwrap_or(entry);
        if host
            .rsplit_once(':')
            .is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'))
        {
            notes.push(format!(
                "NO_PROXY has {entry:?}, which counts for nothing: write the host without a port"
            ));
        }
        host.trim_matches(['[', ']'])
    });
    understood.collect::<Vec<_>>().join(",")
}

/// Says that a proxy is named that is not used.
fn other_proxy() -> Option<String> {
    let is_set = |name: &&&str| variable(name).is_some_and(|value| !value.is_empty());
    let name = OTHER_PROXIES.iter().find(is_set)?;
    Some(format!(
        "{name} is set, and not used: set HTTPS_PROXY for the gateway to reach Intuned through a proxy"
    ))
}

/// None for the system's.
fn authorities(reader: &mut Reader<'_>, args: &OutboundArgs) -> Option<Vec<Certificate>> {
    let (file, directories) = (args.trusted_file(), &args.ssl_cert_dir);
    if file.is_none() && directories.is_none() {
        return None;
    }
    let in_file = file.map_or(Ok(Vec::new()), read_file);
    let in_directories = directories
        .as_deref()
        .map_or(Ok(Vec::new()), read_directories);
    let in_file = in_file.map_err(|fault| reader.note("SSL_CERT_FILE", fault));
    let in_directories = in_directories.map_err(|fault| reader.note("SSL_CERT_DIR", fault));
    let found = [in_file.ok()?, in_directories.ok()?].concat();
    if found.is_empty() {
        reader.note("SSL_CERT_DIR", "has no certificate in PEM in its files");
    }
    Some(found)
}

fn read_file(file: &Path) -> Result<Vec<Certificate>, String> {
    if file.as_os_str().is_empty() {
        return Err("is empty: name a file, or take it away".to_owned());
    }
    let shown = file.display();
    fs::read(file).map_err(|error| format!("is {shown}, which cannot be read: {error}"))?;
    let found = usable(&load_certs_from_paths(Some(file), None));
    if found.is_empty() {
        return Err(format!("is {shown}, which has no certificate in PEM"));
    }
    Ok(found)
}

fn read_directories(list: &str) -> Result<Vec<Certificate>, String> {
    let mut found = Vec::new();
    for directory in list.split(':').filter(|directory| !directory.is_empty()) {
        fs::read_dir(directory)
            .map_err(|error| format!("names {directory}, which cannot be read: {error}"))?;
        let loaded = load_certs_from_paths(None, Some(Path::new(directory)));
        found.extend(usable(&loaded));
    }
    Ok(found)
}

/// One that cannot be used must not take the others with it.
fn usable(loaded: &CertificateResult) -> Vec<Certificate> {
    let read = loaded
        .certs
        .iter()
        .map(|found| Certificate::from_der(found));
    let read: Vec<_> = read.filter_map(Result::ok).collect();
    if can_trust(read.clone()) {
        return read;
    }
    let alone = |one: &Certificate| can_trust(vec![one.clone()]);
    read.into_iter().filter(alone).collect()
}

fn can_trust(authorities: Vec<Certificate>) -> bool {
    let client = Client::builder().tls_certs_only(authorities);
    client.build().is_ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("localhost, .example.com,*.test", "localhost,.example.com,.test", 0)]
    #[case("10.0.0.0/8 ::1,[fd00::1] *", "10.0.0.0/8,::1,fd00::1,*", 0)]
    #[case("a.example:8443", "a.example:8443", 1)]
    #[case("", "", 0)]
    fn hosts_are_understood(#[case] list: &str, #[case] expected: &str, #[case] noted: usize) {
        let mut notes = Vec::new();
        assert_eq!(no_proxy(list, &mut notes), expected);
        assert_eq!(notes.len(), noted, "{notes:?}");
    }

    #[rstest]
    #[case("http://user:password@proxy.example:3128", true)]
    #[case("https://proxy.example/", true)]
    #[case("proxy.example:3128", true)]
    #[case("user:password@proxy.example:3128", true)]
    #[case("socks5://proxy.example:1080", false)]
    #[case("http://proxy.example/path", false)]
    #[case("http://", false)]
    #[case("no proxy", false)]
    #[case("nonsense", false)]
    #[case("user:password@proxy.example", false)]
    #[case("[::1]", false)]
    #[case("[::1]:3128", true)]
    #[case("http://*:3128", false)]
    fn a_proxy_has_an_address(#[case] text: &str, #[case] accepted: bool) {
        assert_eq!(read_bare_proxy(text).is_some(), accepted);
    }
}
