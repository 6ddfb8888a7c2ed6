//! Routes of the simulator and their handlers.

use std::time::Duration;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderValue, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get, post},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    BASE_PATH, Call, SimulatedGeneration, SimulatedSession, Simulator,
    answers::{self, RunResult},
    claims, fault,
    requests::{Credentials, ErrorResponse, ResumeBody, RunBody, read, read_sign_in},
    step::Step,
    task::Kind,
};

pub(super) fn router(simulator: &Simulator) -> Router {
    let on = |call, methods: MethodRouter<Simulator>| -> MethodRouter<Simulator> {
        let interceptor = Interceptor {
            simulator: simulator.clone(),
            call,
        };
        methods.layer(middleware::from_fn_with_state(interceptor, intercept))
    };
    let common = Router::new()
        .route(
            "/auth-sessions/create",
            on(Call::CreateStart, post(create_start)),
        )
        .route(
            "/auth-sessions/create/{task_id}/result",
            on(Call::CreateResult, get(create_result)),
        )
        .route("/auth-sessions", on(Call::All, get(all)))
        .route(
            "/auth-sessions/{session_id}",
            on(Call::One, get(one)).merge(on(Call::Delete, delete(delete_session))),
        )
        .route("/run/start", on(Call::RunStart, post(run_start)))
        .route(
            "/run/{task_id}/result",
            on(Call::RunResult, get(run_result)),
        );
    let routes = match simulator.shared.config.generation {
        SimulatedGeneration::One => common
            .route(
                "/auth-sessions/create/{task_id}/resume",
                on(Call::CreateResume, post(create_resume)),
            )
            .route("/run", on(Call::RunSync, post(run_sync))),
        SimulatedGeneration::Two => common
            .route(
                "/auth-sessions/{session_id}/validate/start",
                on(Call::ValidateStart, post(validate_start)),
            )
            .route(
                "/auth-sessions/{session_id}/validate/{task_id}/result",
                on(Call::ValidateResult, get(validate_result)),
            )
            .route(
                "/auth-sessions/{session_id}/update",
                on(Call::UpdateStart, post(update_start)),
            )
            .route(
                "/auth-sessions/{session_id}/update/{task_id}/result",
                on(Call::UpdateResult, get(update_result)),
            ),
    };
    let project = format!("{BASE_PATH}/{{workspace_id}}/projects/{{project_name}}");
    Router::new()
        .nest(&project, routes)
        .fallback(async || ErrorResponse::NotFound)
        .with_state(simulator.clone())
}

/// State of the middleware around one kind of call.
#[derive(Clone)]
struct Interceptor {
    simulator: Simulator,
    call: Call,
}

/// Counts a call, checks its key, and applies its scripted fault.
async fn intercept(
    State(Interceptor { simulator, call }): State<Interceptor>,
    request: Request,
    next: Next,
) -> Response {
    let fault = simulator.faults().next(call, Instant::now());
    let key = request
        .headers()
        .get("x-api-key")
        .map(HeaderValue::as_bytes);
    let required = simulator.shared.config.api_key.as_ref();
    if required.is_some_and(|required| key != Some(required.expose_secret().as_bytes())) {
        return ErrorResponse::Unauthorized.into_response();
    }
    match fault {
        Some(fault) => fault.respond(next.run(request)).await,
        None => next.run(request).await,
    }
}

type Reply = Result<Response, ErrorResponse>;

#[derive(Deserialize)]
struct TaskPath {
    task_id: String,
}

#[derive(Deserialize)]
struct SessionPath {
    session_id: String,
}

#[derive(Deserialize)]
struct SessionTaskPath {
    session_id: String,
    task_id: String,
}

impl Simulator {
    fn generation(&self) -> SimulatedGeneration {
        self.shared.config.generation
    }

    fn run_answer(&self, task_id: &str) -> Result<answers::Run, ErrorResponse> {
        let today = self.shared.clock.now().date_naive();
        let mut store = self.store();
        let task = store.poll(Kind::Run, None, task_id, Instant::now())?;
        Ok(answers::run(self.generation(), task, || {
            let given = self.claims().clone();
            let usual = || RunResult::Claims(claims::claims(today));
            given.map_or_else(usual, RunResult::Text)
        }))
    }

    /// Responds to a poll of a task's result, with a fault in turn if the account is flaky.
    async fn result<T: Serialize>(
        &self,
        task_id: &str,
        answer: impl FnOnce() -> Result<T, ErrorResponse>,
    ) -> Reply {
        let fault = {
            let mut store = self.store();
            let pause = store.scaled(Duration::from_secs(1));
            let number = store.next_fault(task_id);
            number.and_then(|number| fault::flaky(number, pause))
        };
        match fault {
            Some(fault) => Ok(fault.respond(std::future::pending()).await),
            None => Ok(Json(answer()?).into_response()),
        }
    }

    async fn operation_result(&self, kind: Kind, session_id: Option<&str>, task_id: &str) -> Reply {
        self.result(task_id, || {
            let mut store = self.store();
            let task = store.poll(kind, session_id, task_id, Instant::now())?;
            Ok(answers::operation(self.generation(), task))
        })
        .await
    }

    fn begin_run(&self, body: &[u8]) -> Result<String, ErrorResponse> {
        let body: RunBody = read(body, "Invalid body: api, parameters, authSession: {id}")?;
        if body.api != "get-claims" {
            return Err(ErrorResponse::NotFound);
        }
        Ok(self.store().run(&body.auth_session.id, Instant::now())?)
    }
}

fn created(body: Value) -> Response {
    (StatusCode::CREATED, Json(body)).into_response()
}

async fn create_start(State(simulator): State<Simulator>, body: Bytes) -> Reply {
    let (id, credentials) = read_sign_in(simulator.generation(), &body)?;
    let Credentials { username, password } = credentials;
    let operation_id = simulator.store().sign_in(
        Kind::Create,
        id.as_deref(),
        &username,
        &password,
        Instant::now(),
    );
    Ok(created(
        json!({"status": "started", "operationId": operation_id}),
    ))
}

async fn create_result(State(simulator): State<Simulator>, Path(path): Path<TaskPath>) -> Reply {
    simulator
        .operation_result(Kind::Create, None, &path.task_id)
        .await
}

async fn create_resume(
    State(simulator): State<Simulator>,
    Path(path): Path<TaskPath>,
    body: Bytes,
) -> Reply {
    let body: ResumeBody = read(&body, "Invalid body: input, info_request_id")?;
    simulator.store().answer(
        &path.task_id,
        &body.info_request_id,
        &body.input,
        Instant::now(),
    )??;
    Ok((StatusCode::ACCEPTED, Json(json!({"status": "resumed"}))).into_response())
}

async fn one(State(simulator): State<Simulator>, Path(path): Path<SessionPath>) -> Reply {
    let id = path.session_id;
    let status = simulator.store().status(&id, Instant::now())?;
    let session = SimulatedSession { id, status };
    Ok(Json(answers::session(simulator.generation(), &session)).into_response())
}

async fn all(State(simulator): State<Simulator>) -> Reply {
    let sessions = simulator.sessions();
    let answer = sessions
        .iter()
        .map(|session| answers::session(simulator.generation(), session));
    Ok(Json(answer.collect::<Value>()).into_response())
}

async fn delete_session(
    State(simulator): State<Simulator>,
    Path(path): Path<SessionPath>,
) -> Reply {
    simulator.store().delete(&path.session_id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn run_start(State(simulator): State<Simulator>, body: Bytes) -> Reply {
    let run_id = simulator.begin_run(&body)?;
    Ok(created(json!({"status": "pending", "runId": run_id})))
}

async fn run_result(State(simulator): State<Simulator>, Path(path): Path<TaskPath>) -> Reply {
    let answer = || simulator.run_answer(&path.task_id);
    simulator.result(&path.task_id, answer).await
}

/// Waits until the run has ended. An expired session is answered with 401 by this call alone.
async fn run_sync(State(simulator): State<Simulator>, body: Bytes) -> Reply {
    let run_id = simulator.begin_run(&body)?;
    loop {
        let (step, due) = {
            let mut store = simulator.store();
            let task = store.poll(Kind::Run, None, &run_id, Instant::now())?;
            (task.current, task.due())
        };
        match step {
            Step::Succeed => return Ok(Json(simulator.run_answer(&run_id)?).into_response()),
            Step::Fail(_) => return Err(ErrorResponse::Unauthorized),
            _ => tokio::time::sleep_until(due).await,
        }
    }
}

async fn validate_start(
    State(simulator): State<Simulator>,
    Path(path): Path<SessionPath>,
    body: Bytes,
) -> Reply {
    let _: serde_json::Map<String, Value> = read(&body, "Invalid body: no object")?;
    let operation_id = simulator
        .store()
        .validate(&path.session_id, Instant::now())?;
    Ok(created(
        json!({"status": "pending", "operationId": operation_id}),
    ))
}

async fn validate_result(
    State(simulator): State<Simulator>,
    Path(path): Path<SessionTaskPath>,
) -> Reply {
    simulator
        .operation_result(Kind::Validate, Some(&path.session_id), &path.task_id)
        .await
}

async fn update_start(
    State(simulator): State<Simulator>,
    Path(path): Path<SessionPath>,
    body: Bytes,
) -> Reply {
    let (_, Credentials { username, password }) = read_sign_in(simulator.generation(), &body)?;
    let mut store = simulator.store();
    if !store.has_session(&path.session_id) {
        return Err(ErrorResponse::NotFound);
    }
    let operation_id = store.sign_in(
        Kind::Update,
        Some(&path.session_id),
        &username,
        &password,
        Instant::now(),
    );
    Ok(created(
        json!({"status": "started", "operationId": operation_id}),
    ))
}

async fn update_result(
    State(simulator): State<Simulator>,
    Path(path): Path<SessionTaskPath>,
) -> Reply {
    simulator
        .operation_result(Kind::Update, Some(&path.session_id), &path.task_id)
        .await
}
