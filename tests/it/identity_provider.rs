//! Users of an identity provider, through the whole gateway.

use entity::{session, user};
use futures_util::future::join_all;
use rstest::rstest;
use sea_orm::{Database, EntityTrait, PaginatorTrait};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{
    Api, Backend, Setup, TestApp,
    identity_provider::{IdentityProvider, Key},
};

const ME: &str = "{ me { id email } }";

/// A gateway that takes tokens of a provider with one key.
async fn start(backend: Backend) -> (TestApp, IdentityProvider, Key) {
    let key = Key::ec("e");
    let provider = IdentityProvider::start(&[&key]).await;
    let mut app = TestApp::with(backend, Setup::default()).await;
    app.config.accounts.provider = Some(provider.config());
    app.restart().await;
    (app, provider, key)
}

async fn me(api: &Api) -> Value {
    api.data(ME, json!({})).await["me"].clone()
}

#[rstest]
#[tokio::test]
async fn a_user_is_made_on_first_sight_and_connects_an_account(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, provider, key) = start(backend).await;
    let token = key.sign(&provider.claims("ada"));
    let ada = app.api.signed_in(&token);
    let first = me(&ada).await;
    let stand_in = format!(
        "{}@identity-provider.invalid",
        first["id"].as_str().unwrap()
    );
    assert_eq!(first["email"], stand_in);
    assert_eq!(me(&ada).await, first);

    let operation = ada.connect("Admin", "admin123").await;
    let mut socket = app.socket(&ada).await;
    socket
        .follow("1", operation["id"].as_str().unwrap(), None)
        .await;
    socket.until("DONE").await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn many_requests_at_first_sight_make_one_user(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, provider, key) = start(backend).await;
    // On Postgres a second replica joins in.
    let replica = match backend {
        Backend::Postgres => Some(app.replica().await),
        Backend::Sqlite => None,
    };
    let there = replica
        .as_ref()
        .map_or(app.api.url.clone(), |r| r.url.clone());
    let (one, other) = (provider.claims("ada"), provider.claims("ada"));
    let tokens = [key.sign(&one), key.sign(&other)];
    let users = (0..16).map(|n| {
        let api = app.api.signed_in(&tokens[n % 2]);
        if n % 4 < 2 { api } else { api.at(&there) }
    });
    let users: Vec<_> = users.collect();
    let seen = join_all(users.iter().map(me)).await;
    assert!(seen.iter().all(|user| *user == seen[0]), "{seen:?}");
    let database = Database::connect(app.database.url.expose_secret())
        .await
        .unwrap();
    assert_eq!(user::Entity::find().count(&database).await.unwrap(), 1);
    database.close().await.unwrap();
    if let Some(replica) = replica {
        replica.finish().await;
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_address_never_links_to_an_account_of_the_gateways_own(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, provider, key) = start(backend).await;
    let local = app.user("ada@example.com").await;
    let mut claims = provider.claims("ada");
    claims["email"] = json!("Ada@Example.com");
    claims["email_verified"] = json!(true);
    let theirs = app.api.signed_in(&key.sign(&claims));
    let seen = me(&theirs).await;
    assert_eq!(seen["email"], "ada@example.com");
    assert_ne!(seen["id"], me(&local).await["id"]);

    // A second one may show the same address; what is not verified is not shown.
    claims["sub"] = json!("another");
    assert_eq!(
        me(&app.api.signed_in(&key.sign(&claims))).await["email"],
        "ada@example.com"
    );
    // Some providers write it as a text.
    claims["sub"] = json!("texts");
    claims["email_verified"] = json!("true");
    let seen = me(&app.api.signed_in(&key.sign(&claims))).await;
    assert_eq!(seen["email"], "ada@example.com");
    for doubtful in [
        json!(false),
        json!(null),
        json!("false"),
        json!("True"),
        json!("yes"),
        json!(1),
        json!(["true"]),
    ] {
        claims["sub"] = json!(format!("doubtful {doubtful}"));
        claims["email_verified"] = doubtful;
        let seen = me(&app.api.signed_in(&key.sign(&claims))).await;
        assert!(
            seen["email"].as_str().unwrap().ends_with(".invalid"),
            "{seen}"
        );
    }
    // Nobody signs in as such a user with a password, or takes the stand-in.
    let sign_in = "mutation($input: SignInInput!) { signIn(input: $input) { token } }";
    let stand_in = format!("{}@identity-provider.invalid", seen["id"].as_str().unwrap());
    let input = json!({ "input": { "email": stand_in, "password": "none" } });
    assert_eq!(
        app.api.error_code(sign_in, input.clone()).await,
        "INVALID_CREDENTIALS"
    );
    let sign_up = "mutation($input: SignUpInput!) { signUp(input: $input) { token } }";
    let input = json!({ "input": { "email": stand_in, "password": "correct horse" } });
    assert_eq!(app.api.error_code(sign_up, input).await, "BAD_USER_INPUT");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn signing_out_ends_the_token_everywhere(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, provider, key) = start(backend).await;
    let claims = provider.claims("ada");
    let ada = app.api.signed_in(&key.sign(&claims));
    let first = me(&ada).await;
    let replica = match backend {
        Backend::Postgres => Some(app.replica().await),
        Backend::Sqlite => None,
    };
    let mut socket = match &replica {
        Some(replica) => replica.socket(&ada).await,
        None => app.socket(&ada).await,
    };
    ada.data("mutation { signOut { signedOut } }", json!({}))
        .await;
    assert_eq!(me(&ada).await, Value::Null);
    // The same claims signed once more are the same session.
    assert_eq!(
        me(&app.api.signed_in(&key.sign(&claims))).await,
        Value::Null
    );
    if let Some(replica) = &replica {
        assert_eq!(me(&replica.user(&ada)).await, Value::Null);
    }
    assert_eq!(socket.next().await.unwrap_err(), Some(4403));

    let mut anew = claims;
    anew["iat"] = json!(anew["iat"].as_i64().unwrap() + 1);
    assert_eq!(me(&app.api.signed_in(&key.sign(&anew))).await, first);
    if let Some(replica) = replica {
        replica.finish().await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let (app, provider, key) = start(Backend::Sqlite).await;
    let mut claims = provider.claims("ada");
    claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 10 + 3);
    let ada = app.api.signed_in(&key.sign(&claims));
    let mut socket = app.socket(&ada).await;
    assert_eq!(socket.next().await.unwrap_err(), Some(4403));
    assert_eq!(me(&ada).await, Value::Null);
    let database = Database::connect(app.database.url.expose_secret())
        .await
        .unwrap();
    assert!(session::Entity::find().count(&database).await.unwrap() <= 1);
    database.close().await.unwrap();
    app.finish().await;
}

#[tokio::test]
async fn accounts_are_not_opened_where_the_operator_wants_none() {
    let setup = Setup {
        configure: |config| config.accounts.allow_sign_up = false,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    let sign_up = "mutation($input: SignUpInput!) { signUp(input: $input) { token } }";
    let input = json!({ "input": { "email": "ada@example.com", "password": "correct horse" } });
    assert_eq!(app.api.error_code(sign_up, input).await, "SIGN_UP_CLOSED");
    app.finish().await;
}

/// The kinds of the user's audit trail, the oldest first; each event says where it came from.
async fn trail(user: &Api) -> Vec<String> {
    let query = "{ me { auditTrail { edges { node { kind clientAddress requestId } } } } }";
    let data = user.data(query, json!({})).await;
    let edges = data["me"]["auditTrail"]["edges"].as_array().unwrap();
    let kinds = edges.iter().rev().map(|edge| {
        let event = &edge["node"];
        assert_eq!(event["clientAddress"], "127.0.0.1", "{event}");
        assert!(event["requestId"].is_string(), "{event}");
        event["kind"].as_str().unwrap().to_owned()
    });
    kinds.collect()
}

#[rstest]
#[tokio::test]
async fn each_token_stands_in_the_trail_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, provider, key) = start(backend).await;
    let replica = match backend {
        Backend::Postgres => Some(app.replica().await),
        Backend::Sqlite => None,
    };
    let there = replica
        .as_ref()
        .map_or(app.api.url.clone(), |r| r.url.clone());
    let token = |age: i64| {
        let mut claims = provider.claims("ada");
        claims["iat"] = json!(claims["iat"].as_i64().unwrap() - age);
        app.api.signed_in(&key.sign(&claims))
    };
    let first = token(0);
    let mut expected = Vec::new();
    // The order in which tokens were issued says nothing of the order in which they come.
    for (user, kind) in [
        (&first, "ACCOUNT_OPENED"),
        (&token(3), "SIGNED_IN"),
        (&token(2), "SIGNED_IN"),
    ] {
        let elsewhere = user.at(&there);
        let users = (0..8).map(|n| if n % 2 == 0 { user } else { &elsewhere });
        join_all(users.map(me)).await;
        expected.push(kind);
        assert_eq!(trail(&first).await, expected);
    }
    let socket = app.socket(&token(1)).await;
    expected.push("SIGNED_IN");
    assert_eq!(trail(&first).await, expected);

    // What is refused leaves nothing.
    let left = token(4);
    expected.extend(["SIGNED_IN", "SIGNED_OUT"]);
    for _ in 0..2 {
        left.send("mutation { signOut { signedOut } }", json!({}))
            .await;
        assert_eq!(me(&left).await, Value::Null);
        assert_eq!(trail(&first).await, expected);
    }
    drop(socket);
    if let Some(replica) = replica {
        replica.finish().await;
    }
    app.finish().await;
}
