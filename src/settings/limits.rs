//! What a request may ask for, how much of everything there may be at once, and how long it may take.

#![expect(clippy::doc_markdown, reason = "comments are the help text, as it is")]

use clap::Args;

use super::reader::{Reader, SHORTEST};
use graphql_server::{ServerOptions, document::DocumentLimits};

#[derive(Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct LimitArgs {
    /// How deep fields of a query may be nested
    #[arg(long, env, value_name = "COUNT", default_value = "8")]
    max_depth: String,
    /// How many fields a query may have, those of its fragments counted each time
    #[arg(long, env, value_name = "COUNT", default_value = "300")]
    max_complexity: String,
    /// How many fields a query may have at its root
    #[arg(long, env, value_name = "COUNT", default_value = "15")]
    max_root_fields: String,
    /// How many aliases a query may have
    #[arg(long, env, value_name = "COUNT", default_value = "15")]
    max_aliases: String,
    /// How many directives a query may have
    #[arg(long, env, value_name = "COUNT", default_value = "50")]
    max_directives: String,
    /// The longest text of a query, in bytes
    #[arg(long, env, value_name = "BYTES", default_value = "65536")]
    max_query_bytes: String,
    /// How many lexical tokens a query may have
    #[arg(long, env, value_name = "COUNT", default_value = "2000")]
    max_tokens: String,
    /// How many values the JSON of a request may have, those within lists and objects included; of a
    /// batch, the JSON of each operation
    #[arg(long, env, value_name = "COUNT", default_value = "2000")]
    max_values: String,
    /// How many operations one request may have, as a JSON list (a batch), run one after the other; 0
    /// switches batches off
    #[arg(long, env, value_name = "COUNT", default_value = "0")]
    max_batch_operations: String,
    /// Bytes of query texts to keep for clients that send hashes in their place (automatic persisted
    /// queries); 0 switches that off
    #[arg(long, env, value_name = "BYTES", default_value = "1048576")]
    max_persisted_bytes: String,
    /// The longest body of a request, in bytes
    #[arg(long, env, value_name = "BYTES", default_value = "1048576")]
    max_body_bytes: String,
    /// The longest message on a WebSocket, in bytes
    #[arg(long, env, value_name = "BYTES", default_value = "65536")]
    max_message_bytes: String,
    /// How many operations may run on one WebSocket at once
    #[arg(long, env, value_name = "COUNT", default_value = "32")]
    max_socket_operations: String,
    /// How many WebSockets and event streams one user may have open at once, on each replica
    #[arg(long, env, value_name = "COUNT", default_value = "64")]
    max_user_streams: String,
    /// How many WebSockets and event streams may be open at once that nobody has signed in on, on
    /// each replica
    #[arg(long, env, value_name = "COUNT", default_value = "1000")]
    max_anonymous_streams: String,
    /// How many connections a replica takes at once; every WebSocket is one
    #[arg(long, env, value_name = "COUNT", default_value = "50000")]
    max_connections: String,
    /// How many of them may come from one address; loopback and private addresses and
    /// TRUSTED_PROXIES are not counted; 0 for any number
    #[arg(long, env, value_name = "COUNT", default_value = "1000")]
    max_address_connections: String,
    /// How long a request's head may take to arrive, and how long a connection may wait for its next
    /// request
    #[arg(long, env, value_name = "DURATION", default_value = "10s")]
    head_timeout: String,
    /// How long a request's body may take to arrive
    #[arg(long, env, value_name = "DURATION", default_value = "30s")]
    body_timeout: String,
    /// After which a connection is closed whose peer has not taken a message that it is sent, or 32 KiB of a
    /// longer one
    #[arg(long, env, value_name = "DURATION", default_value = "30s")]
    write_timeout: String,
    /// How long a query may run; where it reads claims, CLAIMS_TIMEOUT comes on top
    #[arg(long, env, value_name = "DURATION", default_value = "30s")]
    query_timeout: String,
    /// How long a mutation may run; where it reads claims, CLAIMS_TIMEOUT comes on top
    #[arg(long, env, value_name = "DURATION", default_value = "1m")]
    mutation_timeout: String,
    /// How long a new WebSocket may take to send connection_init
    #[arg(long, env, value_name = "DURATION", default_value = "3s")]
    ws_init_timeout: String,
    /// Pause between two signs of life on a quiet WebSocket or event stream; a WebSocket that gives
    /// none itself from one to the next is closed
    #[arg(long, env, value_name = "DURATION", default_value = "25s")]
    keep_alive: String,
}

pub(super) fn limits(reader: &mut Reader<'_>, args: &LimitArgs) -> Option<ServerOptions> {
    let documents = documents(reader, args);
    let bytes = 1024..=1 << 30;
    let body_limit = reader.number("MAX_BODY_BYTES", &args.max_body_bytes, bytes.clone());
    let message_limit = reader.number("MAX_MESSAGE_BYTES", &args.max_message_bytes, bytes);
    let persisted_bytes = reader.number(
        "MAX_PERSISTED_BYTES",
        &args.max_persisted_bytes,
        0..=1 << 30,
    );
    let mut count = |setting, text, least| reader.number(setting, text, least..=1_000_000);
    let value_limit = count("MAX_VALUES", &args.max_values, 1);
    let batch_limit = count("MAX_BATCH_OPERATIONS", &args.max_batch_operations, 0);
    let operations = count("MAX_SOCKET_OPERATIONS", &args.max_socket_operations, 1);
    let user_streams = count("MAX_USER_STREAMS", &args.max_user_streams, 1);
    let anonymous_streams = count("MAX_ANONYMOUS_STREAMS", &args.max_anonymous_streams, 0);
    let connections = count("MAX_CONNECTIONS", &args.max_connections, 1);
    let from_address = count("MAX_ADDRESS_CONNECTIONS", &args.max_address_connections, 0);
    let mut duration = |setting, text| reader.duration(setting, text, SHORTEST);
    let head_timeout = duration("HEAD_TIMEOUT", &args.head_timeout);
    let body_timeout = duration("BODY_TIMEOUT", &args.body_timeout);
    let write_timeout = duration("WRITE_TIMEOUT", &args.write_timeout);
    let query_timeout = duration("QUERY_TIMEOUT", &args.query_timeout);
    let mutation_timeout = duration("MUTATION_TIMEOUT", &args.mutation_timeout);
    let socket_init_timeout = duration("WS_INIT_TIMEOUT", &args.ws_init_timeout);
    let keep_alive = duration("KEEP_ALIVE", &args.keep_alive);
    Some(ServerOptions {
        documents: documents?,
        persisted_bytes: persisted_bytes?,
        body_limit: body_limit?,
        socket_message_limit: message_limit?,
        value_limit: value_limit?,
        batch_limit: batch_limit?,
        operations_per_socket: operations?,
        streams_per_user: user_streams?,
        anonymous_streams: anonymous_streams?,
        connections: connections?,
        connections_per_address: from_address.map(|count| (count > 0).then_some(count))?,
        head_timeout: head_timeout?,
        body_timeout: body_timeout?,
        write_timeout: write_timeout?,
        query_timeout: query_timeout?,
        mutation_timeout: mutation_timeout?,
        socket_init_timeout: socket_init_timeout?,
        keep_alive: keep_alive?,
        ..ServerOptions::default()
    })
}

fn documents(reader: &mut Reader<'_>, args: &LimitArgs) -> Option<DocumentLimits> {
    let mut count = |setting, text| reader.number(setting, text, 1..=1_000_000);
    let depth = count("MAX_DEPTH", &args.max_depth);
    let complexity = count("MAX_COMPLEXITY", &args.max_complexity);
    let root_fields = count("MAX_ROOT_FIELDS", &args.max_root_fields);
    let aliases = count("MAX_ALIASES", &args.max_aliases);
    let directives = count("MAX_DIRECTIVES", &args.max_directives);
    let tokens = count("MAX_TOKENS", &args.max_tokens);
    let length = reader.number("MAX_QUERY_BYTES", &args.max_query_bytes, 1024..=1 << 30);
    Some(DocumentLimits {
        depth: depth?,
        complexity: complexity?,
        root_fields: root_fields?,
        aliases: aliases?,
        directives: directives?,
        length: length?,
        tokens: tokens?,
        ..DocumentLimits::default()
    })
}
