//! The queue in which passwords wait to be hashed. It is one for all clients: each has its part of the
//! places, and their passwords take turns at the threads.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::{
    AccountError,
    tries::{network, site},
};

/// Part of the waiting places that one client may have.
const CLIENTS_PART: usize = 8;
/// Part of them that all clients of an IPv6 site may have.
const SITES_PART: usize = 4;
/// Part of them that is kept for clients, or sites, that have none yet.
const NEWCOMERS_PART: usize = 4;

/// Places for those that are worked on and those that wait. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    threads: Arc<Semaphore>,
    taken: Mutex<Taken>,
}

/// The most places.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    threads: usize,
    all: usize,
    /// For all but newcomers.
    usual: usize,
    client: usize,
    site: usize,
}

/// The places that are taken.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    clients: HashMap<IpAddr, Client>,
    sites: HashMap<Ipv6Addr, usize>,
}

#[derive(Debug)]
struct Client {
    places: usize,
    /// Lets so many of its passwords at once wait for a thread as there are threads.
    turns: Arc<Semaphore>,
}

/// The right to have one password worked on in a while.
#[derive(Debug)]
pub(super) struct Place {
    queue: Queue,
    client: IpAddr,
    site: Option<Ipv6Addr>,
    turns: Arc<Semaphore>,
}

/// A thread to work on, until it is dropped.
#[derive(Debug)]
pub(super) struct Thread {
    _thread: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Queue {
    /// At most `threads` (at least one) passwords are worked on at the same time, while at most
    /// `waiting` wait for it.
    pub(super) fn new(threads: usize, waiting: usize) -> Self {
        let threads = threads.clamp(1, Semaphore::MAX_PERMITS);
        let with_waiting = |waiting: usize| threads.saturating_add(waiting);
        Self(Arc::new(Inner {
            bounds: Bounds {
                threads,
                all: with_waiting(waiting),
                usual: with_waiting(waiting - waiting / NEWCOMERS_PART),
                client: with_waiting(waiting / CLIENTS_PART),
                site: with_waiting(waiting / SITES_PART),
            },
            threads: Arc::new(Semaphore::new(threads)),
            taken: Mutex::default(),
        }))
    }

    /// A place for `client`.
    ///
    /// # Errors
    /// [`AccountError::Busy`], at once, when there is none left for it.
    pub(super) fn place(&self, client: IpAddr) -> Result<Place, AccountError> {
        let (client, site) = (network(client), site(client));
        let Bounds { threads, .. } = self.0.bounds;
        let mut taken = self.taken();
        if !taken.has_room(client, site, self.0.bounds) {
            return Err(AccountError::Busy);
        }
        taken.all += 1;
        if let Some(site) = site {
            *taken.sites.entry(site).or_default() += 1;
        }
        let entry = taken.clients.entry(client).or_insert_with(|| Client {
            places: 0,
            turns: Arc::new(Semaphore::new(threads)),
        });
        entry.places += 1;
        Ok(Place {
            queue: self.clone(),
            client,
            site,
            turns: entry.turns.clone(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn has_room(&self, client: IpAddr, site: Option<Ipv6Addr>, bounds: Bounds) -> bool {
        let of_client = self.clients.get(&client).map_or(0, |client| client.places);
        let of_site = site.map(|site| self.sites.get(&site).copied().unwrap_or_default());
        let is_new = of_site.unwrap_or(of_client) == 0;
        let all = if is_new { bounds.all } else { bounds.usual };
        self.all < all && of_client < bounds.client && of_site < Some(bounds.site)
    }
}

impl Place {
    /// A thread, when it is this password's turn.
    pub(super) async fn thread(&self) -> Result<Thread, AcquireError> {
        let turn = self.turns.clone().acquire_owned().await?;
        let thread = self.queue.0.threads.clone().acquire_owned().await?;
        Ok(Thread {
            _thread: thread,
            _turn: turn,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.queue.taken();
        taken.all -= 1;
        if let Some(client) = taken.clients.get_mut(&self.client) {
            client.places -= 1;
            if client.places == 0 {
                taken.clients.remove(&self.client);
            }
        }
        if let Some(site) = self.site
            && let Some(places) = taken.sites.get_mut(&site)
        {
            *places -= 1;
            if *places == 0 {
                taken.sites.remove(&site);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use tokio::{sync::mpsc, task::yield_now};

    use super::*;

    fn client(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn v4(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    /// All the places that the clients get, taken in turns.
    fn fill(queue: &Queue, clients: &[IpAddr]) -> Vec<Place> {
        let mut places = Vec::new();
        loop {
            let before = places.len();
            places.extend(
                clients
                    .iter()
                    .filter_map(|client| queue.place(*client).ok()),
            );
            if places.len() == before {
                return places;
            }
        }
    }

    #[rstest]
    #[case::address(&["192.0.2.1", "::ffff:192.0.2.1"], 2 + 8)]
    #[case::network(&["2001:db8:1:2::3", "2001:db8:1:2:3::4"], 2 + 8)]
    #[case::networks_of_a_site(&["2001:db8:1:1::", "2001:db8:1:2::", "2001:db8:1:3::"], 2 + 16)]
    #[case::three_addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3"], 3 * (2 + 8))]
    fn one_client_has_its_part_of_the_places(#[case] clients: &[&str], #[case] expected: usize) {
        let queue = Queue::new(2, 64);
        let clients: Vec<IpAddr> = clients.iter().map(|text| client(text)).collect();
        let places = fill(&queue, &clients);
        assert_eq!(places.len(), expected);
        assert!(queue.place(client("198.51.100.1")).is_ok());
        drop(places);
        assert_eq!(fill(&queue, &clients).len(), expected);
    }

    #[test]
    fn the_last_places_are_for_those_who_have_none() {
        let queue = Queue::new(2, 64);
        let clients: Vec<IpAddr> = (0..20).map(v4).collect();
        let places = fill(&queue, &clients);
        assert_eq!(places.len(), 2 + 48);
        let newcomers: Vec<IpAddr> = (100..200).map(v4).collect();
        let others = fill(&queue, &newcomers);
        assert_eq!(others.len(), 16);
        assert!(queue.place(v4(255)).is_err());
        drop((places, others));
        assert_eq!(queue.taken().all, 0);
        assert!(queue.taken().clients.is_empty());
    }

    #[test]
    fn networks_of_a_site_that_has_places_are_no_newcomers() {
        let queue = Queue::new(2, 64);
        let clients: Vec<IpAddr> = (0..20).map(v4).collect();
        let site = client("2001:db8:1:1::");
        let first = queue.place(site).unwrap();
        let places = fill(&queue, &clients);
        assert!(queue.place(client("2001:db8:1:2::")).is_err());
        assert!(queue.place(client("2001:db8:2:1::")).is_ok());
        drop((first, places));
        assert!(queue.taken().sites.is_empty());
    }

    #[tokio::test]
    async fn a_newcomer_waits_for_a_turn_of_each_other_client() {
        let queue = Queue::new(2, 64);
        let (worked_on, mut order) = mpsc::unbounded_channel();
        let begin = |place: Place| {
            let worked_on = worked_on.clone();
            tokio::spawn(async move {
                let thread = place.thread().await.unwrap();
                worked_on.send(place.client).unwrap();
                yield_now().await;
                drop(thread);
            })
        };
        let crowd = fill(&queue, &[v4(1), v4(2), v4(3)]);
        let tasks: Vec<_> = crowd.into_iter().map(begin).collect();
        // All of them wait before the newcomer comes.
        yield_now().await;
        let newcomer = begin(queue.place(v4(4)).unwrap());
        newcomer.await.unwrap();
        let mut before = 0;
        while order.recv().await != Some(v4(4)) {
            before += 1;
        }
        assert!(before <= 2 * 4, "{before}");
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(queue.0.threads.available_permits(), 2);
        assert_eq!(queue.taken().all, 0);
    }
}
