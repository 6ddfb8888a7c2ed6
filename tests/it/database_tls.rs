//! Postgres over TLS.

use std::path::Path;

use intuned_gateway::platform::database::{self, DatabaseError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use tempfile::TempDir;

use crate::support::{PostgresServer, eventually};

/// An authority, and a certificate of its making for `localhost`.
struct Authority {
    root: String,
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut root = CertificateParams::default();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &root).unwrap();
        Self {
            root: root.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    fn write_root(&self, file: &Path) {
        std::fs::write(file, &self.root).unwrap();
    }
}

/// Whether a connection with these parameters is encrypted, if there is one.
async fn connect(
    server: &PostgresServer,
    host: &str,
    parameters: &str,
) -> Result<bool, DatabaseError> {
    let mut url = server.url.clone();
    url.set_host(Some(host)).unwrap();
    url.set_query(Some(parameters));
    let database = database::connect(&url.as_str().into(), 2).await?;
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let encrypted = Statement::from_string(DbBackend::Postgres, encrypted);
    let encrypted = database.query_one_raw(encrypted).await.unwrap().unwrap();
    let encrypted = encrypted.try_get_by_index(0).unwrap();
    // The connection for notifications, too.
    let mut listener = database::listener(&url.as_str().into()).await.unwrap();
    listener.listen("tests").await.unwrap();
    Ok(encrypted)
}

#[tokio::test]
async fn the_server_is_checked_as_the_address_says() {
    let server = PostgresServer::start().await;
    let (authority, stranger) = (Authority::new(), Authority::new());
    server.certify(&authority.certificate, &authority.key).await;
    let directory = TempDir::new().unwrap();
    let (root, other) = (
        directory.path().join("ca.pem"),
        directory.path().join("other.pem"),
    );
    authority.write_root(&root);
    stranger.write_root(&other);
    let (root, other) = (root.display(), other.display());
    eventually("it speaks TLS", async || {
        connect(&server, "localhost", "sslmode=require")
            .await
            .is_ok()
    })
    .await;

    let checked = format!("sslmode=verify-full&sslrootcert={root}");
    let documented = include_str!("../../docs/production.md");
    let example = checked.replace(&root.to_string(), "/path/to/ca.pem");
    assert!(documented.contains(&example));
    for (host, parameters, expected) in [
        ("localhost", checked.clone(), Some(true)),
        // That is not the name in the certificate.
        ("127.0.0.1", checked, None),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&sslrootcert={root}"),
            Some(true),
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={other}"),
            None,
        ),
        ("localhost", "sslmode=verify-full".into(), None),
        ("localhost", "sslmode=prefer".into(), Some(true)),
        ("localhost", "sslmode=disable".into(), Some(false)),
    ] {
        let encrypted = connect(&server, host, &parameters).await;
        assert_eq!(
            encrypted.as_ref().ok().copied(),
            expected,
            "{parameters}: {encrypted:?}"
        );
    }
}
