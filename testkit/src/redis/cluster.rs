//! A Redis Cluster of three primaries with a replica each.

use super::resp::RedisReply;
use super::server::{RedisOptions, RedisServer, certificates};
use crate::free_port;
use crate::wait::eventually;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const PRIMARIES: usize = 3;
const SLOTS: usize = 16_384;
/// A failover takes about twice this; a paused test machine must not cause one.
const NODE_TIMEOUT_MS: &str = "1000";
/// Six servers that meet on two busy cores.
const PATIENCE: Duration = Duration::from_secs(45);

/// Six servers: nodes 0 to 2 begin as primaries, 3 to 5 as their replicas. All are durable. Killed on drop.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    bus_ports: Vec<u16>,
    tls: Option<ClusterTls>,
}

/// Where the nodes serve TLS beside their plain ports, and the certificates of all of them.
#[derive(Debug)]
struct ClusterTls {
    ports: Vec<u16>,
    certificates: TempDir,
}

impl ClusterTls {
    fn arguments(&self, node: usize) -> Vec<String> {
        let file = |name: &str| self.certificates.path().join(name).display().to_string();
        let port = self.ports[node].to_string();
        // Redis 7.0 tells clients with TLS the ports with TLS only where the nodes use it among themselves.
        let among = ["--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "no"].map(str::to_owned);
        let names = ["--tls-port", "--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"];
        let values = [port, file("server.crt"), file("server.key"), file("ca.crt")];
        among.into_iter().chain(names.into_iter().map(str::to_owned).zip(values).flat_map(|(name, value)| [name, value])).collect()
    }
}

impl RedisCluster {
    /// Starts the servers and waits until every node sees all slots served and every replica follows its primary.
    ///
    /// # Panics
    /// When `redis-server` is not installed; the text is the command that installs it.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// As [`RedisCluster::start`], and each node also serves TLS on a port of its own, with a certificate for `localhost` and 127.0.0.1. A client that
    /// came over TLS is sent on to ports with TLS.
    ///
    /// # Panics
    /// As [`RedisCluster::start`], and when there is no `openssl`.
    #[must_use]
    #[track_caller]
    pub fn start_tls() -> Self {
        let home = TempDir::new().expect("a temporary directory can be created");
        certificates(home.path());
        Self::start_with(Some(ClusterTls { ports: (0..2 * PRIMARIES).map(|_| free_port()).collect(), certificates: home }))
    }

    #[track_caller]
    fn start_with(tls: Option<ClusterTls>) -> Self {
        let bus_ports: Vec<u16> = (0..2 * PRIMARIES).map(|_| free_port()).collect();
        let start = |(index, port): (usize, &u16)| {
            let arguments = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", NODE_TIMEOUT_MS]
                .into_iter()
                // A node without which some slots are not served takes nothing from the others.
                .chain([
                    "--cluster-require-full-coverage",
                    "no",
                    "--cluster-replica-validity-factor",
                    "0",
                    "--repl-diskless-sync-delay",
                    "0",
                    "--cluster-port",
                ])
                .map(str::to_owned)
                .chain([port.to_string()])
                .chain(tls.as_ref().map(|tls| tls.arguments(index)).unwrap_or_default());
            RedisServer::start_with(RedisOptions { durable: true, arguments: arguments.collect(), ..RedisOptions::default() })
        };
        let cluster = Self { nodes: bus_ports.iter().enumerate().map(start).collect(), bus_ports, tls };
        cluster.join();
        cluster.wait_healthy();
        cluster
    }

    fn join(&self) {
        for (index, node) in self.nodes.iter().enumerate() {
            // Distinct epochs from the beginning save the nodes from settling collisions.
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            if index < PRIMARIES {
                let (first, last) = (index * SLOTS / PRIMARIES, (index + 1) * SLOTS / PRIMARIES - 1);
                node.command(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
            }
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &self.nodes[0].port().to_string(), &self.bus_ports[0].to_string()]);
        }
        for (index, node) in self.nodes.iter().enumerate().skip(PRIMARIES) {
            let primary = self.nodes[index - PRIMARIES].command(&["CLUSTER", "MYID"]).text();
            // Refused until the node has heard of its primary.
            eventually("a replica knows its primary", PATIENCE, || node.try_command(&["CLUSTER", "REPLICATE", &primary]).ok());
        }
    }

    /// Waits until every living node sees all slots served and six nodes, and every replica is in step.
    ///
    /// # Panics
    /// When that does not come about within 45 s.
    #[track_caller]
    pub fn wait_healthy(&self) {
        eventually("the cluster is healthy", PATIENCE, || self.nodes.iter().all(Self::healthy).then_some(()));
    }

    fn healthy(node: &RedisServer) -> bool {
        let text = |arguments: &[&str]| node.try_command(arguments).map_or_else(|_| String::new(), |reply| reply.text());
        let info = text(&["CLUSTER", "INFO"]);
        let nodes = text(&["CLUSTER", "NODES"]);
        let replication = text(&["INFO", "replication"]);
        info.contains("cluster_state:ok")
            && info.contains("cluster_known_nodes:6")
            && !nodes.contains("fail")
            && !nodes.contains("handshake")
            && nodes.matches("slave").count() == PRIMARIES
            && (replication.contains("role:master") || replication.contains("master_link_status:up"))
    }

    /// Waits until some node other than `lost` serves `slot`, and the others agree that the cluster is whole.
    ///
    /// # Panics
    /// When no failover happens within 45 s.
    #[track_caller]
    pub fn wait_failover(&self, lost: usize, slot: u16) -> usize {
        eventually("a replica took over", PATIENCE, || {
            let whole =
                |node: &RedisServer| node.try_command(&["CLUSTER", "INFO"]).is_ok_and(|reply| reply.text().contains("cluster_state:ok"));
            let others = || self.nodes.iter().enumerate().filter(|(index, _)| *index != lost).map(|(_, node)| node);
            self.primary_of(slot, lost).filter(|primary| *primary != lost && others().all(whole))
        })
    }

    /// The node that serves `slot`, as a node other than `unasked` sees it.
    #[must_use]
    pub fn primary_of(&self, slot: u16, unasked: usize) -> Option<usize> {
        let (_, witness) = self.nodes.iter().enumerate().find(|(index, _)| *index != unasked)?;
        self.served_by(slot, witness)
    }

    fn served_by(&self, slot: u16, witness: &RedisServer) -> Option<usize> {
        let RedisReply::Array(ranges) = witness.try_command(&["CLUSTER", "SLOTS"]).ok()? else { return None };
        ranges.iter().find_map(|range| {
            let RedisReply::Array(parts) = range else { return None };
            let within = parts.first()?.integer()? <= i64::from(slot) && i64::from(slot) <= parts.get(1)?.integer()?;
            let RedisReply::Array(primary) = parts.get(2)? else { return None };
            let port = u16::try_from(primary.get(1)?.integer()?).ok()?;
            within.then(|| self.nodes.iter().position(|node| node.port() == port)).flatten()
        })
    }

    /// Moves a slot from one primary to another, one key at a time, as `redis-cli --cluster reshard` does.
    ///
    /// # Panics
    /// When a node refuses a step.
    #[track_caller]
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let slot = &slot.to_string();
        let (source, target) = (&self.nodes[from], &self.nodes[to]);
        let (source_id, target_id) = (source.command(&["CLUSTER", "MYID"]).text(), target.command(&["CLUSTER", "MYID"]).text());
        target.command(&["CLUSTER", "SETSLOT", slot, "IMPORTING", &source_id]);
        source.command(&["CLUSTER", "SETSLOT", slot, "MIGRATING", &target_id]);
        while let RedisReply::Array(keys) = source.command(&["CLUSTER", "GETKEYSINSLOT", slot, "1"]) {
            let Some(key) = keys.first() else { break };
            source.command(&["MIGRATE", "127.0.0.1", &target.port().to_string(), &key.text(), "0", "5000"]);
        }
        // The target first, so that no node believes for a moment that nobody has the slot.
        target.command(&["CLUSTER", "SETSLOT", slot, "NODE", &target_id]);
        source.command(&["CLUSTER", "SETSLOT", slot, "NODE", &target_id]);
        let slot = slot.parse().expect("it was a number");
        let knows = |node: &RedisServer| self.served_by(slot, node) == Some(to);
        eventually("every node knows who has the slot", PATIENCE, || self.nodes.iter().all(knows).then_some(()));
    }

    /// Where clients connect: all six.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The port with TLS of a node, and the certificate of the authority of all of them, in PEM.
    ///
    /// # Panics
    /// When the cluster serves no TLS.
    #[must_use]
    #[track_caller]
    pub fn tls(&self, index: usize) -> (u16, Vec<u8>) {
        let tls = self.tls.as_ref().expect("it was started with TLS");
        (tls.ports[index], authority(tls.certificates.path()))
    }

    /// The slot of a key, as a server computes it.
    ///
    /// # Panics
    /// When no node answers.
    #[must_use]
    #[track_caller]
    pub fn slot_of(&self, key: &str) -> u16 {
        let reply = self.nodes.iter().find_map(|node| node.try_command(&["CLUSTER", "KEYSLOT", key]).ok());
        let slot = reply.and_then(|reply| reply.integer()).expect("a node answers");
        u16::try_from(slot).expect("slots are below 16,384")
    }

    /// A node.
    #[must_use]
    pub fn node(&self, index: usize) -> &RedisServer {
        &self.nodes[index]
    }

    /// A node, to kill, restart, freeze or thaw.
    pub fn node_mut(&mut self, index: usize) -> &mut RedisServer {
        &mut self.nodes[index]
    }

    /// Kills all nodes and starts them again on their ports and files.
    #[track_caller]
    pub fn restart_all(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        for node in &mut self.nodes {
            node.restart();
        }
    }
}

fn authority(home: &Path) -> Vec<u8> {
    std::fs::read(home.join("ca.crt")).expect("it was made at the start")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
        let mut cluster = RedisCluster::start();
        let slot = cluster.slot_of("key");
        let primary = cluster.primary_of(slot, 6).expect("all slots are served");
        cluster.node_mut(primary).kill();
        let next = cluster.wait_failover(primary, slot);
        assert_eq!(next, primary + PRIMARIES, "its replica");
        cluster.node_mut(primary).restart();
        cluster.wait_healthy();
        assert_eq!(cluster.primary_of(slot, 6), Some(next));
    }
}
