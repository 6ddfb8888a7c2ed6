//! Compares what clients were told, what Intuned was asked, and what the tables say.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{connection, operation, operation::Status, operation_event, session_removal};
use sea_orm::{DatabaseConnection, EntityTrait, QueryOrder};
use serde_json::Value;

use crate::{
    client::Story,
    follow::Told,
    report::Violations,
    upstream::{Asked, Upstream},
};

/// The tables as they are in the end.
pub(crate) struct Tables {
    pub(crate) operations: Vec<operation::Model>,
    events: HashMap<String, Vec<operation_event::Model>>,
    pub(crate) connections: Vec<connection::Model>,
    pub(crate) removals: Vec<session_removal::Model>,
}

impl Tables {
    pub(crate) async fn read(database: &DatabaseConnection) -> Self {
        let mut events: HashMap<_, Vec<_>> = HashMap::new();
        let rows = operation_event::Entity::find()
            .order_by_asc(operation_event::Column::Sequence)
            .all(database)
            .await
            .unwrap();
        for event in rows {
            let id = event.operation_id.to_string();
            events.entry(id).or_default().push(event);
        }
        Self {
            operations: operation::Entity::find().all(database).await.unwrap(),
            events,
            connections: connection::Entity::find().all(database).await.unwrap(),
            removals: session_removal::Entity::find().all(database).await.unwrap(),
        }
    }

    fn events(&self, id: &str) -> &[operation_event::Model] {
        self.events.get(id).map_or(&[], Vec::as_slice)
    }

    fn operation(&self, id: &str) -> Option<&operation::Model> {
        self.operations.iter().find(|row| row.id.to_string() == id)
    }
}

pub(crate) struct Check<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) upstream: &'a Upstream,
    pub(crate) violations: &'a Violations,
}

impl Check<'_> {
    /// `stories` are of the users of these ids.
    pub(crate) fn all(&self, stories: &[(String, Story)]) {
        for operation in &self.tables.operations {
            self.operation(operation);
        }
        self.sessions();
        self.asked();
        for (user, story) in stories {
            for told in &story.told {
                self.told(told);
            }
            for (id, status) in &story.canceled {
                self.canceled(id, status);
            }
            self.connected(user, story.connected);
        }
    }

    /// An operation has one end, and its changes have numbers without gaps.
    fn operation(&self, operation: &operation::Model) {
        let id = operation.id.to_string();
        let events = self.tables.events(&id);
        if operation.ended_at.is_none() {
            self.violations
                .lost(format!("{id} never ended: {operation:?}"));
            return;
        }
        let numbers = events.iter().map(|event| event.sequence);
        if !numbers.eq(1..=operation.sequence) {
            self.violations.lost(format!("changes of {id}: {events:?}"));
        }
        let ends = events.iter().filter(|event| is_end(event.status)).count();
        if ends > 1 {
            self.violations
                .duplicated(format!("ends of {id}: {events:?}"));
        }
        if events
            .last()
            .is_none_or(|last| last.status != operation.status)
        {
            self.violations
                .contradictory(format!("{operation:?} against {events:?}"));
        }
        if (operation.status == Status::Done) != operation.connection_id.is_some() {
            self.violations
                .contradictory(format!("{id} is DONE without a connection, or the reverse"));
        }
    }

    /// Intuned has the sessions that connections stand for, and no others.
    fn sessions(&self) {
        let sessions = self.upstream.sessions();
        for session in &sessions {
            let known = |row: &connection::Model| row.auth_session_id == session.id;
            let noted = |row: &session_removal::Model| row.auth_session_id == session.id;
            if !self.tables.connections.iter().any(known) && !self.tables.removals.iter().any(noted)
            {
                self.violations
                    .lost(format!("nobody knows of {session:?} at Intuned"));
            }
        }
        for connection in &self.tables.connections {
            let id = &connection.auth_session_id;
            if !sessions.iter().any(|session| session.id == *id) {
                self.violations
                    .lost(format!("{connection:?} has no session at Intuned"));
            }
        }
        for removal in &self.tables.removals {
            self.violations.lost(format!("never done: {removal:?}"));
        }
        let mut users: Vec<_> = self
            .tables
            .connections
            .iter()
            .map(|row| row.user_id)
            .collect();
        users.sort();
        let all = users.len();
        users.dedup();
        if users.len() < all {
            self.violations
                .duplicated("a user has several connections".to_owned());
        }
    }

    /// No start and no answer was sent twice.
    fn asked(&self) {
        let mut starts: HashMap<String, usize> = HashMap::new();
        let mut resumes: HashMap<String, usize> = HashMap::new();
        for asked in self.upstream.asked() {
            match asked {
                Asked::Start { session } => *starts.entry(session).or_default() += 1,
                Asked::Resume { task } => *resumes.entry(task).or_default() += 1,
            }
        }
        for (session, count) in starts {
            // A renewal starts again with the id of the session that it renews. The id that an
            // operation had to begin with is the one that it ends with.
            let of_session = |row: &&operation::Model| row.auth_session_id == session;
            let operations = self.tables.operations.iter().filter(of_session).count();
            if count > operations {
                self.violations.duplicated(format!(
                    "{count} starts of {session} for {operations} operations"
                ));
            }
        }
        for (task, count) in resumes {
            let of_task = |row: &&operation::Model| {
                row.upstream_operation_id.as_deref() == Some(task.as_str())
            };
            let Some(operation) = self.tables.operations.iter().find(of_task) else {
                self.violations
                    .lost(format!("no operation has task {task}"));
                continue;
            };
            let id = operation.id.to_string();
            let events = self.tables.events(&id).iter();
            let questions = events.filter(|event| event.status == Status::RequestedMoreInfo);
            let questions = questions.count();
            if count > questions {
                self.violations.duplicated(format!(
                    "{count} answers sent for {id}, which asked {questions} times"
                ));
            }
        }
    }

    /// A follower was told each change once, in order, as the table has it, and the end.
    fn told(&self, told: &Told) {
        let id = &told.operation;
        let events = self.tables.events(id);
        let mut last = None;
        for event in &told.events {
            let number = event["sequence"].as_i64().unwrap();
            let follows = match event["kind"].as_str() {
                Some("SNAPSHOT") => last.is_none(),
                Some("CHANGE") => number == last.unwrap_or(0) + 1,
                _ => last == Some(number),
            };
            if !follows {
                let what = format!("{id}: {number} after {last:?} in {told:?}");
                match last {
                    Some(last) if number <= last => self.violations.duplicated(what),
                    _ => self.violations.lost(what),
                }
                return;
            }
            last = Some(number);
            let written = usize::try_from(number - 1)
                .ok()
                .and_then(|at| events.get(at));
            if !written.is_some_and(|written| agrees(event, written)) {
                self.violations
                    .contradictory(format!("{id}: told {event}, written {written:?}"));
            }
        }
        let end = self.tables.operation(id).map(|row| i64::from(row.sequence));
        if end.is_none() || last != end {
            self.violations
                .lost(format!("{id}: told up to {last:?}, written up to {end:?}"));
        }
    }

    fn canceled(&self, id: &str, status: &str) {
        let written = self.tables.operation(id).map(|row| name(row.status));
        if written != Some(status) {
            self.violations
                .contradictory(format!("{id}: canceled as {status}, written {written:?}"));
        }
    }

    /// The user is connected if that is what the client was told last.
    fn connected(&self, user: &str, told: bool) {
        let mut connections = self.tables.connections.iter();
        let written = connections.any(|row| row.user_id.to_string() == user);
        if told != written {
            self.violations.contradictory(format!(
                "user {user} was told connected: {told}, written: {written}"
            ));
        }
    }
}

fn agrees(told: &Value, written: &operation_event::Model) -> bool {
    let status = told["status"] == name(written.status);
    if told["kind"] != "CHANGE" {
        return status;
    }
    let at = told["occurredAt"].as_str().unwrap_or_default();
    let at = at.parse::<DateTime<Utc>>().ok();
    status
        && told["message"] == written.message
        && told["polls"] == written.polls
        && told["elapsedMs"] == written.elapsed_ms
        && at == Some(written.occurred_at.0)
}

pub(crate) fn is_end(status: Status) -> bool {
    matches!(status, Status::Done | Status::Failed | Status::Canceled)
}

pub(crate) fn name(status: Status) -> &'static str {
    match status {
        Status::Starting => "STARTING",
        Status::Pending => "PENDING",
        Status::InProgress => "IN_PROGRESS",
        Status::RequestedMoreInfo => "REQUESTED_MORE_INFO",
        Status::Done => "DONE",
        Status::Failed => "FAILED",
        Status::Canceled => "CANCELED",
    }
}
