//! The number of a user's sessions, on both databases and across replicas.

use entity::{revocation, session};
use futures_util::future::join_all;
use rstest::rstest;
use sea_orm::{
    ColumnTrait, Database, DatabaseConnection, EntityTrait, PaginatorTrait, QueryFilter,
    sea_query::Expr,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{
    Api, Backend, Replica, Setup, TestApp,
    identity_provider::{IdentityProvider, Key},
    socket::Socket,
};

const MOST: u64 = 3;
const ADA: &str = "ada@example.com";

async fn start(backend: Backend) -> (TestApp, Option<Replica>, DatabaseConnection) {
    let setup = Setup {
        configure: |config| config.accounts.max_user_sessions = 3,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let replica = match backend {
        Backend::Postgres => Some(app.replica().await),
        Backend::Sqlite => None,
    };
    let database = Database::connect(app.database.url.expose_secret());
    let database = database.await.unwrap();
    (app, replica, database)
}

async fn finish(app: TestApp, replica: Option<Replica>, database: DatabaseConnection) {
    database.close().await.unwrap();
    if let Some(replica) = replica {
        replica.finish().await;
    }
    app.finish().await;
}

async fn sign_in(api: &Api) -> Api {
    let query = "mutation($input: SignInInput!) { signIn(input: $input) { token } }";
    let input = json!({ "input": { "email": ADA, "password": "correct horse" } });
    let data = api.data(query, input).await;
    api.signed_in(data["signIn"]["token"].as_str().unwrap())
}

async fn is_signed_in(api: &Api) -> bool {
    api.data("{ me { id } }", json!({})).await["me"].is_object()
}

async fn trail(api: &Api) -> Vec<String> {
    let query = "{ me { auditTrail { edges { node { kind clientAddress } } } } }";
    let me = api.data(query, json!({})).await;
    let edges = me["me"]["auditTrail"]["edges"].as_array().unwrap().clone();
    let line = |edge: Value| {
        let by = match edge["node"]["clientAddress"].as_str() {
            Some(_) => "by a client",
            None => "by itself",
        };
        format!("{} {by}", edge["node"]["kind"].as_str().unwrap())
    };
    edges.into_iter().map(line).collect()
}

#[rstest]
#[tokio::test]
async fn the_oldest_session_ends_when_there_would_be_too_many(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, replica, database) = start(backend).await;
    let oldest = app.user(ADA).await;
    let bystander = app.user("bob@example.com").await;
    let there = replica
        .as_ref()
        .map_or(&app.api.url, |replica| &replica.url);
    let mut sockets = [
        app.socket(&oldest).await,
        Socket::open(there, oldest.token.as_deref()).await,
    ];
    let second = sign_in(&app.api).await;
    let third = sign_in(&app.api.at(there)).await;
    assert!(is_signed_in(&oldest).await);
    let fourth = sign_in(&app.api).await;
    assert!(!is_signed_in(&oldest).await);
    assert!(!is_signed_in(&oldest.at(there)).await);
    for socket in &mut sockets {
        assert_eq!(socket.next().await.unwrap_err(), Some(4403));
    }
    for standing in [&second, &third, &fourth, &bystander] {
        assert!(is_signed_in(standing).await);
    }
    let trail = trail(&fourth).await;
    assert_eq!(
        trail
            .iter()
            .filter(|line| *line == "SIGNED_OUT by itself")
            .count(),
        1
    );
    // A session that has ended makes room, and one that has expired.
    let sign_out = "mutation { signOut { signedOut } }";
    third.data(sign_out, json!({})).await;
    let fifth = sign_in(&app.api).await;
    assert!(is_signed_in(&second).await);
    session::Entity::update_many()
        .col_expr(session::Column::ExpiresAt, Expr::value(1_i64))
        .filter(session::Column::Id.eq(session_id(&fifth)))
        .exec(&database)
        .await
        .unwrap();
    sign_in(&app.api).await;
    assert!(is_signed_in(&second).await);
    sign_in(&app.api).await;
    assert!(!is_signed_in(&second).await);
    assert!(is_signed_in(&fourth).await);
    Box::pin(finish(app, replica, database)).await;
}

fn session_id(api: &Api) -> uuid::Uuid {
    let token = api.token.as_deref().unwrap();
    let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(token).unwrap();
    claims["jti"].as_str().unwrap().parse().unwrap()
}

#[rstest]
#[tokio::test]
async fn sign_ins_at_once_stay_within_the_number(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, replica, database) = start(backend).await;
    let first = app.user(ADA).await;
    let there = replica
        .as_ref()
        .map_or(&app.api.url, |replica| &replica.url);
    let gateways = [app.api.clone(), app.api.at(there)];
    // Some sign out at the same time.
    let sign_out = "mutation { signOut { signedOut } }";
    let signed_in = join_all((0..24).map(async |number| {
        let api = sign_in(&gateways[number % 2]).await;
        if number % 3 == 0 {
            api.send(sign_out, json!({})).await;
        }
        api
    }));
    let signed_in = signed_in.await;
    let count = session::Entity::find().count(&database).await.unwrap();
    assert!(count <= MOST, "{count}");
    assert!(!is_signed_in(&first).await);
    let mut standing = 0;
    for api in &signed_in {
        standing += u64::from(is_signed_in(api).await);
    }
    assert_eq!(standing, count);
    Box::pin(finish(app, replica, database)).await;
}

/// Its token would make the session anew.
#[rstest]
#[tokio::test]
async fn a_token_of_a_provider_whose_session_was_the_oldest_stays_ended(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (mut app, replica, database) = start(backend).await;
    if let Some(replica) = replica {
        replica.finish().await;
    }
    let key = Key::ec("e");
    let provider = IdentityProvider::start(&[&key]).await;
    app.config.accounts.provider = Some(provider.config());
    app.restart().await;
    let tokens: Vec<Api> = (0..5)
        .map(|number| {
            let mut claims = provider.claims("ada");
            claims["jti"] = json!(number);
            app.api.signed_in(&key.sign(&claims))
        })
        .collect();
    for token in &tokens[..3] {
        assert!(is_signed_in(token).await);
    }
    let mut socket = app.socket(&tokens[0]).await;
    for token in &tokens[3..] {
        assert!(is_signed_in(token).await);
    }
    assert_eq!(socket.next().await.unwrap_err(), Some(4403));
    for _ in 0..2 {
        for (number, token) in tokens.iter().enumerate() {
            assert_eq!(is_signed_in(token).await, number >= 2, "{number}");
        }
    }
    assert_eq!(
        session::Entity::find().count(&database).await.unwrap(),
        MOST
    );
    let revoked = revocation::Entity::find().all(&database).await.unwrap();
    assert_eq!(revoked.len(), 2);
    Box::pin(finish(app, None, database)).await;
}
