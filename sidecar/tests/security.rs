//! `[security]`: nothing that other machines reach is open by accident, and what a mechanism lacks is named before anything is bound.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use myelin_bridge_zmq::front::KeyPair;
use myelin_testkit::registry::Registry;
use myelin_testkit::{free_port, zmtp};
use serde_json::json;
use support::{PATIENCE, Scratch};

/// The first 64 bytes that a ZMTP listener says.
fn greeting(at: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03").expect("written");
    let mut greeting = vec![0; 64];
    stream.read_exact(&mut greeting).expect("a greeting");
    greeting
}

#[test]
fn an_address_for_everybody_needs_a_mechanism_or_a_word() {
    let open = format!(
        "\n[[route]]\nname = \"r\"\nkind = \"topic\"\nsubscribers = {{ bind = [\"tcp://*:{}\"] }}\npublishers = {{ bind = [\"tcp://127.0.0.1:{}\"] }}\n",
        free_port(),
        free_port()
    );
    let ran = Scratch::with_free_ports(&open).run(&["serve"]);
    assert_eq!(ran.code, Some(64), "{}", ran.stderr);
    assert!(ran.stderr.contains("route \"r\".subscribers") && ran.stderr.contains("security.insecure = true"), "{}", ran.stderr);
    let scratch = Scratch::with_free_ports(&format!("\n[security]\ninsecure = true\n{open}"));
    let (mut process, _) = scratch.serve();
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));
}

#[test]
fn a_mechanism_holds_for_every_socket_and_names_the_file_it_lacks() {
    let scratch = Scratch::with_free_ports("\n[security]\nmechanism = \"plain\"\nusers = \"users\"\n");
    let ran = scratch.run(&["serve"]);
    assert!(ran.code == Some(64) && ran.stderr.contains("security.users: cannot read users"), "{}", ran.stderr);
    scratch.write("users", "agent:secret\nother;secret\n");
    let ran = scratch.run(&["serve"]);
    assert!(ran.stderr.contains("security.users") && ran.stderr.contains("line 2") && !ran.stderr.contains("other"), "{}", ran.stderr);
    scratch.write("users", "agent:secret\n");
    let (mut process, ready) = scratch.serve();
    for url in [&ready["discovery"], &ready["hub"]["publishers"], &ready["hub"]["subscribers"]] {
        let greeting = greeting(url.as_str().and_then(|url| url.strip_prefix("tcp://")).expect("an endpoint"));
        assert_eq!(&greeting[12..18], b"PLAIN\0");
    }
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));

    let ran = Scratch::with_free_ports("\n[security]\nmechanism = \"curve\"\n").run(&["serve"]);
    assert!(
        ran.code == Some(64) && ran.stderr.contains("security.mechanism is \"curve\" and needs a file in security.key"),
        "{}",
        ran.stderr
    );
}

/// A service route from a REQ to `agents`, with these values of its own.
fn route(name: &str, callers: u16, agents: u16, security: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{callers}\" }}\n\
         agents = {{ connect = \"tcp://127.0.0.1:{agents}\" }}\nsecurity = {{ {security} }}\n"
    )
}

#[test]
fn the_connecting_side_and_a_route_name_the_file_they_lack() {
    let scratch = Scratch::with_free_ports("\n[security]\nconnect_mechanism = \"plain\"\n");
    let ran = scratch.run(&["config", "check"]);
    assert!(
        ran.error_line().contains("security.connect_mechanism is \"plain\" and needs a file in security.connect_login"),
        "{}",
        ran.stderr
    );

    let security = "connect_mechanism = \"curve\", connect_key = \"own\", connect_server_key = \"theirs\"";
    let scratch = Scratch::with_free_ports(&route("vault", free_port(), free_port(), security));
    assert_eq!(scratch.run(&["config", "check"]).code, Some(0), "what is in the files is for the machine that has them");
    let ran = scratch.run(&["serve"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("route \"vault\".security.connect_key: cannot read own: "), "{}", ran.stderr);
    scratch.write("own", &KeyPair::generate().secret_z85());
    scratch.write("theirs", "not a key");
    let ran = scratch.run(&["serve"]);
    assert!(ran.stderr.contains("route \"vault\".security.connect_server_key: theirs is not usable: "), "{}", ran.stderr);
}

/// Both directions of both mechanisms, each on a route of its own, in one sidecar: the outer route connects to what the inner one binds.
#[test]
fn what_one_route_asks_for_another_proves() {
    let (agent_port, inner, outer) = (free_port(), free_port(), free_port());
    let (server, client) = (KeyPair::generate(), KeyPair::generate());
    let curve = "mechanism = \"curve\", key = \"server\", clients = \"clients\"";
    let proves = "connect_mechanism = \"curve\", connect_key = \"client\", connect_server_key = \"server.pub\"";
    for (asks, proves) in
        [(curve, proves), ("mechanism = \"plain\", users = \"users\"", "connect_mechanism = \"plain\", connect_login = \"login\"")]
    {
        let scratch = Scratch::with_free_ports(&(route("inner", inner, agent_port, asks) + &route("outer", outer, inner, proves)));
        scratch.write("server", &server.secret_z85());
        scratch.write("server.pub", &server.public().to_string());
        scratch.write("client", &client.secret_z85());
        scratch.write("clients", &format!("{} outer inner\n", client.public()));
        scratch.write("users", "us:secret\n");
        scratch.write("login", "us:secret\n");
        let agent = zmtp::Listener::bind(agent_port);
        let (mut process, _) = scratch.serve();
        let mut agent = agent.accept("REP", &zmtp::Options::default());
        let mut caller = zmtp::Peer::connect(([127, 0, 0, 1], outer).into(), "REQ");
        caller.send(&[&b""[..], b"ask"]);
        let request = agent.message();
        agent.send(&request);
        assert_eq!(caller.message(), [b"".to_vec(), b"ask".to_vec()]);
        assert_ne!(&greeting(&format!("127.0.0.1:{inner}"))[12..17], b"NULL\0", "others are asked as well");
        let shown = scratch.run(&["config", "show"]);
        assert!(shown.stdout.contains("route \"inner\".security.mechanism"), "{}", shown.stdout);
        assert_eq!(process.terminate(PATIENCE).code(), Some(0));
    }
}

/// Without a mechanism, agents of imported routes register under the names of their routes, as they always did.
#[test]
fn only_a_route_with_a_mechanism_keeps_its_name_to_itself() {
    for (security, status) in [("", "success"), ("mechanism = \"plain\", users = \"users\"", "error")] {
        let scratch = Scratch::with_free_ports(&route("vault", free_port(), free_port(), security));
        scratch.write("users", "us:secret\n");
        let (mut process, ready) = scratch.serve();
        let discovery = ready["discovery"].as_str().and_then(|url| url.strip_prefix("tcp://")).expect("an endpoint");
        let discovery = discovery.parse().expect("an address");
        let question = json!({ "action": "register_agent", "agent_name": "vault", "port": free_port() });
        let answer = Registry::at(discovery).ask(&question);
        assert_eq!(answer["status"], status, "{answer}");
        assert_eq!(process.terminate(PATIENCE).code(), Some(0));
    }
}
