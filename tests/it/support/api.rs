//! A GraphQL client over HTTP, as a test's user would have.

use std::collections::HashMap;

use serde_json::{Value, json, value::RawValue};

/// Sends operations to one gateway, signed in or not.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
}

/// What `connectOrangeHrm` and the like are asked for.
pub(crate) const OPERATION_FIELDS: &str = "id kind status sequence createdAt updatedAt expiresAt \
     infoRequest { __typename id message ... on ChoiceRequest { choices } } \
     failure { code message retryable reference } connection { id }";

impl Api {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: url.to_owned(),
            token: None,
        }
    }

    /// The same user at another gateway.
    pub(crate) fn at(&self, url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..self.clone()
        }
    }

    /// The whole answer.
    pub(crate) async fn send(&self, query: &str, variables: Value) -> Value {
        self.try_send(query, variables).await.unwrap()
    }

    /// The same of a gateway that may die meanwhile.
    pub(crate) async fn try_send(&self, query: &str, variables: Value) -> reqwest::Result<Value> {
        self.post(query, variables).await?.json().await
    }

    /// The text of the answer's data, whose fields stand as they were sent; panics when there is none.
    pub(crate) async fn data_text(&self, query: &str, variables: Value) -> String {
        let answer = self.post(query, variables).await.unwrap();
        let answer = answer.text().await.unwrap();
        let parts: HashMap<String, Box<RawValue>> = serde_json::from_str(&answer).unwrap();
        let data = parts.get("data").unwrap_or_else(|| panic!("{answer}"));
        data.get().to_owned()
    }

    async fn post(&self, query: &str, variables: Value) -> reqwest::Result<reqwest::Response> {
        let body = json!({ "query": query, "variables": variables });
        let request = self.request(reqwest::Method::POST).json(&body);
        request.send().await
    }

    /// A request to the gateway, of this user.
    pub(crate) fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let request = self.http.request(method, &self.url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The answer's data; panics on errors.
    pub(crate) async fn data(&self, query: &str, variables: Value) -> Value {
        let answer = self.send(query, variables).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        answer["data"].clone()
    }

    /// The code of the answer's first error.
    pub(crate) async fn error_code(&self, query: &str, variables: Value) -> String {
        let answer = self.send(query, variables).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        code.as_str()
            .unwrap_or_else(|| panic!("{answer:#}"))
            .to_owned()
    }

    /// Opens an account of its own and signs in.
    pub(crate) async fn sign_up(&self, email: &str) -> Self {
        let query =
            "mutation($input: SignUpInput!) { signUp(input: $input) { token user { id email } } }";
        let input = json!({ "input": { "email": email, "password": "correct horse" } });
        let data = self.data(query, input).await;
        self.signed_in(data["signUp"]["token"].as_str().unwrap())
    }

    /// The holder of this session token.
    pub(crate) fn signed_in(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) async fn connect_answer(&self, username: &str, password: &str) -> Value {
        self.connect_with(json!({ "username": username, "password": password }))
            .await
    }

    pub(crate) async fn connect_with(&self, input: Value) -> Value {
        let query = format!(
            "mutation($input: ConnectOrangeHrmInput!) {{ connectOrangeHrm(input: $input) {{ operation {{ {OPERATION_FIELDS} }} }} }}"
        );
        self.send(&query, json!({ "input": input })).await
    }

    /// Begins to connect and returns the operation.
    pub(crate) async fn connect(&self, username: &str, password: &str) -> Value {
        let answer = self.connect_answer(username, password).await;
        let operation = &answer["data"]["connectOrangeHrm"]["operation"];
        assert!(operation.is_object(), "{answer:#}");
        operation.clone()
    }

    pub(crate) async fn operation(&self, id: &str) -> Value {
        let query = format!("query($id: ID!) {{ operation(id: $id) {{ {OPERATION_FIELDS} }} }}");
        self.data(&query, json!({ "id": id })).await["operation"].clone()
    }

    pub(crate) async fn resume(&self, id: &str, request: &str, input: &str) -> Value {
        let query = format!(
            "mutation($input: ResumeConnectionInput!) {{ resumeConnection(input: $input) {{ operation {{ {OPERATION_FIELDS} }} }} }}"
        );
        let input = json!({ "operationId": id, "infoRequestId": request, "input": input });
        self.send(&query, json!({ "input": input })).await
    }

    pub(crate) async fn cancel(&self, id: &str) -> Value {
        let query = format!(
            "mutation($id: ID!) {{ cancelOperation(operationId: $id) {{ operation {{ {OPERATION_FIELDS} }} }} }}"
        );
        self.send(&query, json!({ "id": id })).await
    }
}
