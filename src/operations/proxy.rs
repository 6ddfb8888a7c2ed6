//! Which proxy a sign-in's traffic goes through.

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::error::OperationError;

/// What the operator allows (settings `ALLOW_USER_PROXY` and `INTUNED_PROXY`).
#[derive(Clone, Debug, Default)]
pub struct ProxyPolicy {
    /// Whether users may name a proxy of their own.
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
    let Ok(url) = Url::parse(text) else {
        return false;
    };
    url.scheme() == "http"
        && url.host_str().is_some_and(|host| !host.is_empty())
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none()
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
    fn the_operators_proxy_is_for_all() {
        let chosen = choose(false, None).unwrap().unwrap();
        assert_eq!(chosen, "http://default:secret@proxy.test:3128");
    }

    #[test]
    fn a_users_proxy_needs_leave() {
        let mine = "http://me:pw@mine.test:8080";
        assert!(choose(false, Some(mine)).is_err());
        assert_eq!(choose(true, Some(mine)).unwrap().unwrap(), mine);
    }

    #[test]
    fn a_proxy_is_checked_and_not_repeated() {
        for wrong in [
            "",
            "mine.test:8080",
            "https://me:hunter2@mine.test",
            "file:///etc/passwd",
            "http://me:hunter2@mine.test:8080/path",
            "http://me:hunter2@mine.test:8080?x=1",
        ] {
            let error = choose(true, Some(wrong)).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{wrong}");
        }
    }
}
