//! A demo, and never by an accident: what starts one, what does not, and what it says of itself.

use std::fs;

use intuned_gateway::settings::Upstream;
use rstest::rstest;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::settings::{
    SECRET, complaints, complaints_in, fault, load, load_in_earnest, run_in, stderr,
};

const OF_EARNEST: [(&str, &str); 8] = [
    ("INTUNED_WORKSPACE_ID", "workspace"),
    ("INTUNED_PROJECT_NAME", "project"),
    (
        "INTUNED_BASE_URL",
        "https://app.intuned.io/api/v1/workspace",
    ),
    ("AUTH_SECRET", SECRET),
    ("WEBHOOK_URL", "https://example.com/hook"),
    ("OIDC_ISSUER", "https://id.example/"),
    ("OIDC_AUDIENCE", "gateway"),
    ("OIDC_JWKS_URL", "https://id.example/keys"),
];

/// The line that complains of the setting.
fn about(setting: &str, faults: &[String]) -> String {
    let found = faults
        .iter()
        .find(|fault| fault.starts_with(&format!("{setting} ")));
    found
        .cloned()
        .unwrap_or_else(|| panic!("{setting}: {faults:?}"))
}

#[test]
fn each_setting_of_a_gateway_in_earnest_wants_a_key() {
    for (setting, value) in OF_EARNEST {
        let flag = format!("--{}={value}", setting.to_lowercase().replace('_', "-"));
        let by_flag = complaints(&[&flag], &[]);
        let by_variable = complaints(&[], &[(setting, value)]);
        let directory = TempDir::new().unwrap();
        fs::write(
            directory.path().join(".env"),
            format!("{setting}='{value}'\n"),
        )
        .unwrap();
        let by_file = complaints_in(&stderr(&run_in(&directory, &["serve"], &[])));
        for faults in [by_flag, by_variable, by_file] {
            let told = about("INTUNED_API_KEY", &faults);
            assert!(
                told.contains(&format!("is missing; {setting} is set")),
                "{told}"
            );
            assert!(told.contains("DEMO=true"), "{told}");
        }
        assert!(
            load(&["--demo", &flag]).is_ok_and(|settings| settings.is_demo())
                || setting.starts_with("OIDC")
                || setting == "WEBHOOK_URL"
        );
    }
}

#[rstest]
#[case::alone(&[])]
#[case::with_what_running_in_earnest_needs(&OF_EARNEST[..4])]
fn an_empty_key_is_told(#[case] others: &[(&str, &str)], #[values("", "  ")] key: &str) {
    let flag = format!("--intuned-api-key={key}");
    let environment: Vec<_> = others
        .iter()
        .copied()
        .chain([("INTUNED_API_KEY", key)])
        .collect();
    let directory = TempDir::new().unwrap();
    fs::write(
        directory.path().join(".env"),
        format!("INTUNED_API_KEY='{key}'\n"),
    )
    .unwrap();
    let by_file = complaints_in(&stderr(&run_in(&directory, &[], others)));
    for faults in [
        complaints(&[&flag], others),
        complaints(&[], &environment),
        by_file,
    ] {
        assert_eq!(
            about("INTUNED_API_KEY", &faults),
            "INTUNED_API_KEY is empty"
        );
    }
}

#[test]
fn a_demo_with_a_key_is_a_contradiction() {
    let faults = complaints(&[], &[("DEMO", "true"), ("INTUNED_API_KEY", "key")]);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        faults[0].starts_with("DEMO is true, and INTUNED_API_KEY is set"),
        "{faults:?}"
    );
}

#[rstest]
#[case("--intuned-api-key=")]
#[case("--intuned-api-key=  ")]
fn an_empty_key_is_none_beside_a_demo_that_is_asked_for(#[case] key: &str) {
    assert!(load(&["--demo=true", key]).unwrap().is_demo());
}

#[test]
fn a_demo_is_one_beside_settings_of_the_other_when_that_is_said() {
    let flags: Vec<_> = OF_EARNEST
        .iter()
        .map(|(setting, value)| format!("--{}={value}", setting.to_lowercase().replace('_', "-")))
        .chain([
            "--demo=true".into(),
            format!("--webhook-secret=whsec_{}", "A".repeat(32)),
        ])
        .collect();
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    assert!(load(&flags).unwrap().is_demo());
}

#[test]
fn no_demo_is_one_when_that_is_said() {
    let faults = complaints(&[], &[("DEMO", "false")]);
    assert_eq!(
        about("INTUNED_API_KEY", &faults),
        "INTUNED_API_KEY is missing"
    );
    assert!(matches!(
        load_in_earnest(&["--demo=false"]).unwrap().upstream,
        Upstream::Intuned(_)
    ));
    assert!(fault(load(&["--demo=perhaps"])).contains("DEMO is \"perhaps\""));
}

/// As compose files pass on what is not there.
#[test]
fn what_else_is_empty_counts_as_not_given() {
    let mut environment: Vec<_> = OF_EARNEST
        .iter()
        .map(|(setting, _)| (*setting, ""))
        .collect();
    environment.extend([("DEMO", ""), ("LISTEN_ADDR", "nowhere")]);
    let faults = complaints(&[], &environment);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("LISTEN_ADDR"), "{faults:?}");
}

#[test]
fn a_misspelt_key_is_told_with_what_it_may_mean() {
    let directory = TempDir::new().unwrap();
    let file = "INTUNED_APIKEY=canary\nINTUNED_WORKSPACE_ID=w\nPOSTGRES_PASSWORD=canary\n";
    fs::write(directory.path().join(".env"), file).unwrap();
    let faults = complaints_in(&stderr(&run_in(&directory, &[], &[])));
    assert!(about("INTUNED_API_KEY", &faults).contains("is missing"));
    let told = about("INTUNED_APIKEY", &faults);
    assert_eq!(
        told,
        "INTUNED_APIKEY in .env is no setting; the nearest is INTUNED_API_KEY"
    );
    assert!(
        faults.iter().all(|fault| !fault.contains("POSTGRES")),
        "{faults:?}"
    );
}

#[rstest]
#[case("127.0.0.1:8080", false)]
#[case("127.1.2.3:8080", false)]
#[case("[::1]:8080", false)]
#[case("[::ffff:127.0.0.1]:8080", false)]
#[case("0.0.0.0:8080", true)]
#[case("[::]:8080", true)]
#[case("192.168.0.7:8080", true)]
fn a_demo_that_others_may_reach_warns(#[case] address: &str, #[case] warns: bool) {
    let listen = format!("--listen-addr={address}");
    let database = "--database-url=sqlite::memory:";
    let says = |notes: Vec<String>| {
        notes
            .iter()
            .any(|note| note.contains("OTHERS") || note.contains("where others may reach it"))
    };
    assert_eq!(says(load(&[database, &listen]).unwrap().notes), warns);
    assert!(!says(load_in_earnest(&[database, &listen]).unwrap().notes));
}

/// The gateway ends before it would connect, because its port is taken.
#[test]
fn the_secret_of_a_demo_on_postgres_survives_a_restart() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment = [
        ("DATABASE_URL", "postgres://127.0.0.1:1/gateway"),
        ("LISTEN_ADDR", &address),
    ];
    let directory = TempDir::new().unwrap();
    let kept = [(); 2].map(|()| {
        let output = run_in(&directory, &[], &environment);
        let log =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("one is kept in data/demo.secret"), "{log}");
        fs::read_to_string(directory.path().join("data/demo.secret")).unwrap()
    });
    assert_eq!(kept[0], kept[1]);
    assert_eq!(kept[0].len(), 64);

    let unwritable = TempDir::new().unwrap();
    fs::write(unwritable.path().join("data"), "no directory").unwrap();
    let log = stderr(&run_in(&unwritable, &[], &environment));
    assert!(
        log.contains("everyone is signed out when the gateway stops"),
        "{log}"
    );
}

#[test]
fn without_a_key_it_is_a_demo_that_says_so() {
    let directory = TempDir::new().unwrap();
    let url = format!(
        "--database-url=sqlite:{}/gateway.sqlite",
        directory.path().display()
    );
    let first = load(&[&url]).unwrap();
    let second = load(&[&url]).unwrap();
    assert!(first.is_demo());
    assert!(first.notes[0].contains("DEMO MODE"), "{:?}", first.notes);
    assert!(
        first.notes[1].contains("gateway.secret"),
        "{:?}",
        first.notes
    );
    assert!(first.server.graphiql && first.server.introspection);
    assert_eq!(
        first.accounts.secret.expose_secret(),
        second.accounts.secret.expose_secret()
    );

    let closed = load(&[&url, "--graphiql=false", "--introspection=off"]).unwrap();
    assert!(!closed.server.graphiql && !closed.server.introspection);
}

#[test]
fn a_demo_misses_no_secret_when_something_else_is_wrong() {
    let faults = complaints(&[], &[("DATABASE_URL", "x"), ("SESSION_LIFETIME", "x")]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("DATABASE_URL"), "{faults:?}");
    assert!(faults[1].starts_with("SESSION_LIFETIME"), "{faults:?}");
}

#[test]
fn a_demo_takes_a_secret_of_its_own() {
    let url = "--database-url=sqlite::memory:";
    let given = load(&["--demo", url, &format!("--auth-secret={SECRET}")]).unwrap();
    assert_eq!(given.accounts.secret.expose_secret(), SECRET);
    let made_up = load(&[url]).unwrap();
    assert_eq!(made_up.accounts.secret.expose_secret().len(), 64);
    assert!(
        made_up.notes[1].contains("signed out"),
        "{:?}",
        made_up.notes
    );
}
