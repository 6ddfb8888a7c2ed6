//! Rows to measure with, written straight into the tables, and tokens for them.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, connection, operation, operation_event, replica, session, user};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection,
    EntityTrait, QueryFilter,
};
use serde_json::json;
use uuid::Uuid;

/// Signs the tokens of all servers.
pub(crate) const SECRET: &str = "benchmarks need a secret of their own, too";

/// Rows of one statement: SQLite takes 32,766 values in one.
const CHUNK: usize = 500;

/// A user with a session, a connection, and perhaps an operation in flight.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) user: Uuid,
    pub(crate) token: String,
    pub(crate) operation: Uuid,
}

/// Who drives the operations that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Another replica, which is alive for as long as anyone measures.
    Elsewhere(Uuid),
    /// Nobody: whoever starts takes them over.
    Nobody,
}

/// A fresh database on the server that the environment names.
pub(crate) async fn postgres(name: &str) -> String {
    let url = std::env::var("TEST_POSTGRES_URL").expect("run by scripts/with-postgres");
    let server = Database::connect(&url).await.expect("a database server");
    for statement in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name}"),
    ] {
        server.execute_unprepared(&statement).await.unwrap();
    }
    let (base, _) = url.rsplit_once('/').expect("a database's name");
    format!("{base}/{name}")
}

pub(crate) async fn open(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await.expect("a database");
    Migrator::up(&database, None).await.expect("tables");
    database
}

/// Writes `count` users who are signed in and connected.
pub(crate) async fn people(database: &DatabaseConnection, count: usize) -> Vec<Person> {
    let now = Utc::now();
    let expires_at = now + TimeDelta::days(7);
    let mut people = Vec::with_capacity(count);
    let (mut users, mut sessions, mut connections) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..count {
        let (user, session) = (Uuid::new_v4(), Uuid::new_v4());
        people.push(Person {
            user,
            token: token(user, session, now, expires_at),
            operation: Uuid::new_v4(),
        });
        users.push(user::ActiveModel {
            id: Set(user),
            email: Set(format!("user-{number}@example.com")),
            password_hash: Set(user::PasswordHash(String::from("$argon2id$none"))),
            created_at: Set(Millis(now)),
            ..Default::default()
        });
        sessions.push(session::ActiveModel {
            id: Set(session),
            user_id: Set(user),
            created_at: Set(Millis(now)),
            expires_at: Set(Millis(expires_at)),
        });
        connections.push(connection::ActiveModel {
            id: Set(Uuid::new_v4()),
            user_id: Set(user),
            service: Set(connection::Service::OrangeHrm),
            auth_session_id: Set(Uuid::new_v4().to_string()),
            created_at: Set(Millis(now)),
            connected_at: Set(Millis(now)),
            ..Default::default()
        });
    }
    insert::<user::Entity>(database, users).await;
    insert::<session::Entity>(database, sessions).await;
    insert::<connection::Entity>(database, connections).await;
    analyze(database).await;
    people
}

/// Makes them people who never connected.
pub(crate) async fn disconnect(database: &DatabaseConnection, people: &[Person]) {
    for people in people.chunks(CHUNK) {
        connection::Entity::delete_many()
            .filter(connection::Column::UserId.is_in(people.iter().map(|person| person.user)))
            .exec(database)
            .await
            .expect("rows are deleted");
    }
}

/// Writes an operation in flight for each of them.
pub(crate) async fn operations(database: &DatabaseConnection, people: &[Person], driver: Driver) {
    let now = Utc::now();
    let owner = match driver {
        Driver::Nobody => None,
        Driver::Elsewhere(replica) => {
            let alive = replica::ActiveModel {
                id: Set(replica),
                beat_at: Set(Millis(now + TimeDelta::days(1))),
            };
            insert::<replica::Entity>(database, vec![alive]).await;
            Some(replica)
        }
    };
    let operations = people.iter().map(|person| operation::ActiveModel {
        id: Set(person.operation),
        user_id: Set(person.user),
        service: Set(connection::Service::OrangeHrm),
        kind: Set(operation::Kind::Connect),
        status: Set(operation::Status::InProgress),
        sequence: Set(1),
        auth_session_id: Set(Uuid::new_v4().to_string()),
        upstream_operation_id: Set(Some(person.operation.to_string())),
        info_request: Set(None),
        answered_request_id: Set(None),
        failure_code: Set(None),
        failure_message: Set(None),
        failure_retryable: Set(None),
        failure_reference: Set(None),
        connection_id: Set(None),
        idempotency_key: Set(None),
        input_fingerprint: Set(None),
        polls: Set(0),
        owner: Set(owner),
        epoch: Set(1),
        created_at: Set(Millis(now)),
        updated_at: Set(Millis(now)),
        expires_at: Set(Millis(now + TimeDelta::hours(1))),
        ended_at: Set(None),
    });
    insert::<operation::Entity>(database, operations.collect()).await;
    let events = people.iter().map(|person| operation_event::ActiveModel {
        operation_id: Set(person.operation),
        sequence: Set(1),
        status: Set(operation::Status::InProgress),
        message: Set(String::from("Intuned is signing in.")),
        polls: Set(0),
        elapsed_ms: Set(0),
        occurred_at: Set(Millis(now)),
        change_id: Set(None),
    });
    insert::<operation_event::Entity>(database, events.collect()).await;
    analyze(database).await;
}

async fn insert<E>(database: &DatabaseConnection, rows: Vec<E::ActiveModel>)
where
    E: EntityTrait,
    E::ActiveModel: Clone + Send,
{
    for rows in rows.chunks(CHUNK) {
        E::insert_many(rows.iter().cloned())
            .exec_without_returning(database)
            .await
            .expect("rows");
    }
}

/// Statistics, so that plans do not change while it is measured.
async fn analyze(database: &DatabaseConnection) {
    database.execute_unprepared("ANALYZE").await.unwrap();
}

fn token(user: Uuid, session: Uuid, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> String {
    let claims = json!({
        "iss": "intuned-gateway",
        "aud": "intuned-gateway",
        "sub": user,
        "jti": session,
        "iat": now.timestamp(),
        "exp": expires_at.timestamp(),
    });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).expect("a token")
}
