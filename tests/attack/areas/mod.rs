//! The areas, each with its table of cases.

use std::pin::Pin;

use crate::{report::Outcome, support::Backend};

mod answers;
mod attempts;
mod authorization;
mod batches;
mod documents;
mod frames;
mod heads;
mod http;
mod keys;
mod origins;
mod proxies;
mod sockets;
mod streams;
mod tokens;
mod upstream;
mod variables;

/// Plays an area's cases on a gateway of its own.
type Area = fn(Backend) -> Pin<Box<dyn Future<Output = Outcome>>>;

pub(crate) const ALL: [(&str, Area); 16] = [
    ("http", |backend| Box::pin(http::area(backend))),
    ("heads", |backend| Box::pin(heads::area(backend))),
    ("origins", |backend| Box::pin(origins::area(backend))),
    ("documents", |backend| Box::pin(documents::area(backend))),
    ("variables", |backend| Box::pin(variables::area(backend))),
    ("tokens", |backend| Box::pin(tokens::area(backend))),
    ("sockets", |backend| Box::pin(sockets::area(backend))),
    ("frames", |backend| Box::pin(frames::area(backend))),
    ("streams", |backend| Box::pin(streams::area(backend))),
    ("authorization", |backend| {
        Box::pin(authorization::area(backend))
    }),
    ("answers", |backend| Box::pin(answers::area(backend))),
    ("proxies", |backend| Box::pin(proxies::area(backend))),
    ("keys", |backend| Box::pin(keys::area(backend))),
    ("attempts", |backend| Box::pin(attempts::area(backend))),
    ("batches", |backend| Box::pin(batches::area(backend))),
    ("upstream", |backend| Box::pin(upstream::area(backend))),
];
