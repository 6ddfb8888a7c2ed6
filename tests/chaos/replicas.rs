//! The gateways' processes, and what becomes of them.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::{RngExt, rngs::StdRng};
use rustix::process::Signal;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    plan::{Fate, Turn},
    process::{Process, Settings},
    report::Violations,
};

/// How often what happened.
#[derive(Debug, Default)]
pub(crate) struct Cycles {
    pub(crate) kills: AtomicU32,
    pub(crate) stops: AtomicU32,
    pub(crate) restarts: AtomicU32,
    /// Gateways that gave up while they started, for want of the database.
    pub(crate) stillborn: AtomicU32,
}

/// Where gateways can be found: clones share it.
#[derive(Clone)]
pub(crate) struct Replicas {
    slots: Arc<Vec<Mutex<Slot>>>,
    pub(crate) cycles: Arc<Cycles>,
    settings: Arc<Settings>,
    violations: Violations,
}

type Slot = Option<watch::Receiver<Option<String>>>;

impl Replicas {
    pub(crate) fn new(count: usize, settings: Settings, violations: Violations) -> Self {
        Self {
            slots: Arc::new((0..count).map(|_| Mutex::default()).collect()),
            cycles: Arc::default(),
            settings: Arc::new(settings),
            violations,
        }
    }

    /// The GraphQL address of one of them, which may be dead or stopped by now.
    pub(crate) async fn any(&self, random: &mut StdRng) -> String {
        loop {
            let slot = random.random_range(0..self.slots.len());
            if let Some(address) = self.address(slot) {
                return format!("http://{address}/graphql");
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn address(&self, slot: usize) -> Option<String> {
        let slot = self.slots[slot].lock().unwrap();
        slot.as_ref()?.borrow().clone()
    }

    /// Lives through `turns`; until `calm`, when the gateway is left to work in peace.
    pub(crate) async fn live(
        self,
        slot: usize,
        turns: Vec<Turn>,
        calm: CancellationToken,
    ) -> Process {
        let mut process = self.spawn(slot);
        for turn in turns {
            let Some(()) = calm.run_until_cancelled(sleep(turn.after)).await else {
                break;
            };
            self.bury(slot, &mut process).await;
            match turn.fate {
                Fate::Killed => {
                    process.kill().await;
                    self.cycles.kills.fetch_add(1, Relaxed);
                    sleep(turn.lasts).await;
                    process = self.spawn(slot);
                }
                Fate::Stopped => {
                    process.signal(Signal::STOP);
                    sleep(turn.lasts).await;
                    process.signal(Signal::CONT);
                    self.cycles.stops.fetch_add(1, Relaxed);
                }
                Fate::Restarted => {
                    process.signal(Signal::TERM);
                    process.ended().await;
                    self.cycles.restarts.fetch_add(1, Relaxed);
                    sleep(turn.lasts).await;
                    process = self.spawn(slot);
                }
            }
        }
        self.bury(slot, &mut process).await;
        process
    }

    fn spawn(&self, slot: usize) -> Process {
        let process = Process::spawn(&self.settings);
        *self.slots[slot].lock().unwrap() = Some(process.address());
        process
    }

    /// Replaces a process that ended by itself, as whoever runs gateways does.
    async fn bury(&self, slot: usize, process: &mut Process) {
        while process.has_ended() {
            if self.address(slot).is_some() {
                let log = process.log();
                self.violations
                    .lost(format!("a gateway died by itself:\n{log}"));
            }
            self.cycles.stillborn.fetch_add(1, Relaxed);
            *process = self.spawn(slot);
            sleep(Duration::from_millis(500)).await;
        }
    }
}
