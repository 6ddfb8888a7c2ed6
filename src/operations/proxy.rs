//! Which proxy a sign-in's traffic goes through.

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::error::OperationError;

/// The proxies that the operator allows (settings `ALLOW_USER_PROXY` and `INTUNED_PROXY`).
#[derive(Clone, Debug, Default)]
pub struct ProxyPolicy {
    /// True when users may name a proxy of their own.
    pub allow_user_proxy: bool,
    /// The one for all others.
    pub default: Option<SecretString>,
}

impl ProxyPolicy {
    /// The proxy to use: the user's, where that is allowed, or else the operator's.
    pub(super) fn choose(
        &self,
        wanted: Option<SecretString>,
    ) -> Result<Option<SecretString>, OperationError> {
        let refused = |problem| OperationError::Input {
            field: "proxy",
            problem,
        };
        match wanted {
            None => Ok(self.default.clone()),
            Some(_) if !self.allow_user_proxy => {
                Err(refused("proxies are not allowed here; leave it out"))
            }
            Some(proxy) if is_proxy(proxy.expose_secret()) => Ok(Some(proxy)),
            Some(_) => Err(refused("write it as http://username:password@domain:port")),
        }
    }
}

fn is_proxy(text: &str) -> bool {
    // URLs are read leniently: spaces around them and line ends within go, slashes are put in.
    let begins = text
        .get(..7)
        .is_some_and(|begin| begin.eq_ignore_ascii_case("http://"));
    if !begins
        || text.contains(|character: char| character.is_control() || character.is_whitespace())
    {
        return false;
    }
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    url.host().is_some_and(|host| is_elsewhere(&host))
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Tells whether the host can be another one than Intuned's own, as far as its name tells: the loopback and
/// link-local addresses lead to what a machine keeps for itself.
fn is_elsewhere(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => !name.is_empty() && !matches!(*name, "localhost" | "localhost."),
        Host::Ipv4(ip) => !(ip.is_loopback() || ip.is_link_local() || ip.is_unspecified()),
        Host::Ipv6(ip) => {
            let mapped = ip.to_ipv4_mapped();
            !(ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified())
                && mapped.is_none_or(|ip| is_elsewhere(&Host::Ipv4(ip)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(allow: bool, wanted: Option<&str>) -> Result<Option<String>, OperationError> {
        let policy = ProxyPolicy {
            allow_user_proxy: allow,
            default: Some("http://default:secret@proxy.test:3128".into()),
        };
        let chosen = policy.choose(wanted.map(SecretString::from))?;
        Ok(chosen.map(|proxy| proxy.expose_secret().to_owned()))
    }

    #[test]
    fn default_proxy_serves_who_names_none() {
        let chosen = choose(false, None).unwrap().unwrap();
        assert_eq!(chosen, "http://default:secret@proxy.test:3128");
    }

    #[test]
    fn proxy_of_a_user_is_refused_unless_allowed() {
        let mine = "http://me:pw@mine.test:8080";
        assert!(choose(false, Some(mine)).is_err());
        assert_eq!(choose(true, Some(mine)).unwrap().unwrap(), mine);
    }

    #[test]
    fn invalid_proxy_is_refused_and_not_repeated() {
        for wrong in [
            "",
            "mine.test:8080",
            "https://me:hunter2@mine.test",
            "file:///etc/passwd",
            "http:mine.test",
            "http:/mine.test",
            " http://mine.test",
            "ht\ttp://mine.test",
            "http://mi\nne.test",
            "http://localhost:3128",
            "http://127.1:3128",
            "http://2130706433",
            "http://[::ffff:127.0.0.1]",
            "http://169.254.169.254",
            "http://me:hunter2@mine.test:8080/path",
            "http://me:hunter2@mine.test:8080?x=1",
        ] {
            let error = choose(true, Some(wrong)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{wrong}");
        }
    }
}
