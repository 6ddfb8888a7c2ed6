//! The database server's time on the processor, which is part of what an answer costs.

use std::{env, fs, time::Duration};

use sqlx::{Connection, PgConnection};

use crate::accounting::{self, Times};

/// All processes of the PostgreSQL server that the environment names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DatabaseServer {
    postmaster: u32,
}

impl DatabaseServer {
    /// The parent of whichever of its processes answers.
    pub(crate) async fn find() -> Self {
        let url = env::var("TEST_POSTGRES_URL").expect("run by scripts/with-postgres");
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        let backend = u32::try_from(backend).expect("a process");
        let backend = accounting::times(backend).expect("a server on this machine");
        Self {
            postmaster: backend.parent,
        }
    }

    /// Time on the processor since the server's start, that of processes that have ended included: it is
    /// added to their parent's as soon as they are gone, so a look at all of them must not fall into that.
    pub(crate) fn cpu(self) -> Duration {
        let mut gone = self.postmaster().of_children_gone;
        loop {
            let children = self.children();
            let postmaster = self.postmaster();
            if postmaster.of_children_gone == gone {
                return postmaster.own + gone + children;
            }
            gone = postmaster.of_children_gone;
        }
    }

    fn postmaster(self) -> Times {
        accounting::times(self.postmaster).expect("a running server")
    }

    fn children(self) -> Duration {
        let processes = fs::read_dir("/proc").expect("/proc");
        processes
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(accounting::times)
            .filter(|process| process.parent == self.postmaster)
            .map(|process| process.own)
            .sum()
    }

    /// Time on the processor since it was `before`.
    pub(crate) fn cpu_since(self, before: Duration) -> Duration {
        self.cpu().saturating_sub(before)
    }
}
