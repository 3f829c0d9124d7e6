//! Who may connect when many do: nobody takes the last connections, neither one source nor the peers of one route.
//!
//! A share is a multiple of what is still free. Whoever is alone may have nearly everything; the more is taken, the less anybody may add, and a
//! newcomer always finds something left. No connection is ever closed for another: an agent that is only silent is a healthy agent.
//!
//! Connections that we open are the operator's wish, and take from the whole alone.

use std::sync::Arc;

use hashbrown::HashMap;
use myelin_bus::wire::limits::{CONNECTIONS_PER_FREE, CONNECTIONS_PER_FREE_OF_SOURCE_AT_ROUTE};
use parking_lot::Mutex;

use super::source::Source;
use crate::metrics::ConnectionShare;

/// The connections of a front, established or in their handshake.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Mutex<State>>);

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    accepted: Option<Accepted>,
}

/// There is no place: this share of the connections is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.describe())]
pub(super) struct NoPlace(pub(super) ConnectionShare);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Accepted {
    source: Source,
    route: Arc<str>,
}

#[derive(Debug)]
struct State {
    max: usize,
    total: usize,
    by_source: HashMap<Source, usize>,
    by_route: HashMap<Arc<str>, usize>,
    by_both: HashMap<Accepted, usize>,
}

impl Connections {
    pub(super) fn new(max: usize) -> Self {
        let (by_source, by_route, by_both) = Default::default();
        Self(Arc::new(Mutex::new(State { max, total: 0, by_source, by_route, by_both })))
    }

    /// A place for a connection from `source` to a listener of `route`.
    pub(super) fn accept(&self, source: Source, route: &Arc<str>) -> Result<Place, NoPlace> {
        let accepted = Accepted { source, route: Arc::clone(route) };
        self.0.lock().accept(&accepted)?;
        Ok(Place { connections: self.clone(), accepted: Some(accepted) })
    }

    /// A place for a connection that we open.
    pub(super) fn open(&self) -> Result<Place, NoPlace> {
        self.0.lock().open()?;
        Ok(Place { connections: self.clone(), accepted: None })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.connections.0.lock();
        state.total -= 1;
        if let Some(accepted) = &self.accepted {
            state.left(accepted);
        }
    }
}

impl State {
    fn open(&mut self) -> Result<(), NoPlace> {
        if self.total >= self.max {
            return Err(NoPlace(ConnectionShare::All));
        }
        self.total += 1;
        Ok(())
    }

    fn accept(&mut self, accepted: &Accepted) -> Result<(), NoPlace> {
        let free = self.max.saturating_sub(self.total);
        let has_share = |taken: Option<&usize>, per_free: usize| taken.map_or(0, |taken| *taken) < free.saturating_mul(per_free);
        if !has_share(self.by_source.get(&accepted.source), CONNECTIONS_PER_FREE) {
            return Err(NoPlace(if free == 0 { ConnectionShare::All } else { ConnectionShare::Source }));
        }
        if !has_share(self.by_route.get(&accepted.route), CONNECTIONS_PER_FREE) {
            return Err(NoPlace(ConnectionShare::Route));
        }
        if !has_share(self.by_both.get(accepted), CONNECTIONS_PER_FREE_OF_SOURCE_AT_ROUTE) {
            return Err(NoPlace(ConnectionShare::SourceAtRoute));
        }
        self.open()?;
        *self.by_source.entry(accepted.source).or_default() += 1;
        *self.by_route.entry(Arc::clone(&accepted.route)).or_default() += 1;
        *self.by_both.entry(accepted.clone()).or_default() += 1;
        Ok(())
    }

    fn left(&mut self, accepted: &Accepted) {
        decrement(&mut self.by_source, &accepted.source);
        decrement(&mut self.by_route, &accepted.route);
        decrement(&mut self.by_both, accepted);
    }
}

fn decrement<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 1000;

    fn source(last: u8) -> Source {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into()
    }

    /// Connects from `source` to `route` until there is no place.
    fn hoard(connections: &Connections, source: Source, route: &str) -> (Vec<Place>, NoPlace) {
        let (mut places, route) = (Vec::new(), Arc::from(route));
        loop {
            match connections.accept(source, &route) {
                Ok(place) => places.push(place),
                Err(refused) => return (places, refused),
            }
        }
    }

    #[test]
    fn one_source_at_one_route_has_three_quarters() {
        let connections = Connections::new(MAX);
        let (places, refused) = hoard(&connections, source(1), "a");
        assert_eq!((places.len(), refused), (MAX * 3 / 4, NoPlace(ConnectionShare::SourceAtRoute)));
    }

    #[test]
    fn one_source_at_all_routes_leaves_an_eighth() {
        let connections = Connections::new(MAX);
        let hoards: Vec<_> = (0..20).map(|route| hoard(&connections, source(1), &route.to_string())).collect();
        assert_eq!(hoards.iter().map(|(places, _)| places.len()).sum::<usize>(), MAX * 7 / 8);
        assert_eq!(hoards.last().unwrap().1, NoPlace(ConnectionShare::Source));
    }

    #[test]
    fn all_sources_at_one_route_leave_an_eighth() {
        let connections = Connections::new(MAX);
        let hoards: Vec<_> = (0..20).map(|last| hoard(&connections, source(last), "a")).collect();
        assert_eq!(hoards.iter().map(|(places, _)| places.len()).sum::<usize>(), MAX * 7 / 8);
        assert_eq!(hoards.last().unwrap().1, NoPlace(ConnectionShare::Route));
    }

    #[test]
    fn another_source_and_another_route_find_a_place() {
        let connections = Connections::new(MAX);
        let _local = hoard(&connections, source(1), "a");
        let (same_source, _) = hoard(&connections, source(1), "b");
        assert_eq!(same_source.len(), MAX / 8, "whoever floods one route from loopback leaves others there the rest of its share");
        let (same_route, _) = hoard(&connections, source(2), "a");
        let (others, _) = hoard(&connections, source(2), "b");
        assert!(same_route.len() > 10 && others.len() > 50, "{} and {}", same_route.len(), others.len());
        assert!(connections.open().is_ok());
    }

    #[test]
    fn few_connections_are_shared_too() {
        for max in 1..20 {
            let (places, _) = hoard(&Connections::new(max), source(1), "a");
            assert!(places.len() * 4 >= max * 3 && places.len() <= max, "{} of {max}", places.len());
        }
    }

    proptest! {
        /// Never more than there are, nobody more than its share when it was admitted, and every place comes back.
        #[test]
        fn shares_hold_and_places_come_back(steps in prop::collection::vec((0u8..4, 0u8..4, 0usize..64), 0..300)) {
            let connections = Connections::new(40);
            let mut places: Vec<(u8, u8, Place)> = Vec::new();
            for (from, route, leave) in steps {
                if leave < places.len() / 2 {
                    places.swap_remove(leave);
                    continue;
                }
                let free = 40 - places.len();
                let count = |wanted: &dyn Fn(u8, u8) -> bool| places.iter().filter(|(from, route, _)| wanted(*from, *route)).count();
                let fits = count(&|other, _| other == from) < 7 * free
                    && count(&|_, other| other == route) < 7 * free
                    && count(&|one, other| (one, other) == (from, route)) < 3 * free;
                let admitted = connections.accept(source(from), &route.to_string().into());
                prop_assert_eq!(admitted.is_ok(), fits);
                places.extend(admitted.map(|place| (from, route, place)));
            }
            drop(places);
            let state = connections.0.lock();
            prop_assert_eq!((state.total, state.by_source.len(), state.by_route.len(), state.by_both.len()), (0, 0, 0, 0));
        }
    }
}
