//! A service route gives each pyzmq caller its own agent's reply, byte for byte, whatever the agent's socket and whoever else asks.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod routes_support;

use std::time::Duration;

use myelin_bridge_zmq::routes::service::{OnCallerGone, Service, ServiceConfig};
use myelin_bus::wire::Body;

use routes_support::{Program, any_port, at, context, until};

/// A REP that answers each request with itself, on a port it prints.
const ECHO: &str = "
s = ctx.socket(zmq.REP); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
while True:
    s.send_multipart(s.recv_multipart())
";

async fn agent(service: &Service, code: &str) -> (Program, myelin_bridge_zmq::front::Connector) {
    let program = Program::start(code);
    let port: u16 = program.line().parse().unwrap();
    let before = service.agents_connected();
    let connector = service.connect_agent(&at(([127, 0, 0, 1], port).into()));
    until("the agent attaches", || service.agents_connected() > before).await;
    (program, connector)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_many_callers_gets_its_own_reply() {
    let context = context();
    let service = Service::new(&context, "Echo", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let _agents = (agent(&service, ECHO).await, agent(&service, ECHO).await);
    let caller = Program::start(&format!(
        r#"
import os
def run(n):
    s = ctx.socket(zmq.REQ); s.linger = 0; s.rcvtimeo = 10000
    s.connect('tcp://{address}')
    for i in range(200):
        m = [b'%d-%d' % (n, i), b'', os.urandom(i * 7)]
        s.send_multipart(m)
        assert s.recv_multipart() == m, (n, i)
    s.close()
threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
for i in range(100):
    s = ctx.socket(zmq.REQ); s.linger = 0; s.rcvtimeo = 10000
    s.connect('tcp://{address}'); s.send(b'once %d' % i); assert s.recv() == b'once %d' % i; s.close()
say('done')
"#,
        address = callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_agent_sees_what_it_would_see_without_us() {
    let context = context();
    let service = Service::new(&context, "Router", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let router = "
s = ctx.socket(zmq.ROUTER); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
while True:
    m = s.recv_multipart()
    say(m[0] if m[0][:1] != b'\\0' else 'anonymous', m[1:])
    s.send_multipart(m); s.send_multipart([m[0], b'', b'and more'])
";
    let (program, _connector) = agent(&service, router).await;
    let caller = Program::start(&format!(
        r#"
req = ctx.socket(zmq.REQ); req.rcvtimeo = 10000; req.connect('tcp://{address}')
req.send(b'{{"a": 1}}'); assert req.recv() == b'{{"a": 1}}'
dealer = ctx.socket(zmq.DEALER); dealer.rcvtimeo = 10000; dealer.identity = b'agent1'; dealer.connect('tcp://{address}')
dealer.send_multipart([b'', b'x', b'y'])
assert dealer.recv_multipart() == [b'', b'x', b'y']
assert dealer.recv_multipart() == [b'', b'and more']
dealer.send(b'bare'); assert dealer.recv() == b'bare'
say('done')
"#,
        address = callers.local_addr()
    ));
    assert_eq!(caller.line(), "done");
    assert_eq!(program.line(), r#"anonymous [b'', b'{"a": 1}']"#);
    assert_eq!(program.line(), "b'agent1' [b'', b'x', b'y']");
    assert_eq!(program.line(), "b'agent1' [b'bare']");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_reply_reaches_nobody_and_the_next_request_gets_its_own() {
    let context = context();
    let service = Service::new(&context, "Late", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    // Holds each first reply back until the caller has given up and says so.
    let slow = "
s = ctx.socket(zmq.REP); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
m = s.recv(); time.sleep(0.6); s.send(b'late ' + m)
while True:
    m = s.recv(); s.send(b'own ' + m)
";
    let _agent = agent(&service, slow).await;
    let caller = Program::start(&format!(
        r"
a = ctx.socket(zmq.REQ); a.linger = 0; a.rcvtimeo = 200; a.connect('tcp://{address}'); a.send(b'1')
try: a.recv(); say('answered')
except zmq.Again: say('timeout')
a.close()
b = ctx.socket(zmq.REQ); b.linger = 0; b.rcvtimeo = 10000; b.connect('tcp://{address}'); b.send(b'2'); say(b.recv().decode())
",
        address = callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["timeout", "own 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropping_route_spares_the_agent_what_nobody_waits_for() {
    let context = context();
    let config = ServiceConfig { on_caller_gone: OnCallerGone::Drop, ..ServiceConfig::default() };
    let service = Service::new(&context, "Drop", config).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let counting = "
s = ctx.socket(zmq.REP); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
while True:
    m = s.recv(); say(m.decode())
    if m == b'first': time.sleep(1)
    s.send(m)
";
    let (program, _connector) = agent(&service, counting).await;
    let caller = Program::start(&format!(
        r"
def ask(text, wait):
    s = ctx.socket(zmq.REQ); s.linger = 0; s.rcvtimeo = wait; s.connect('tcp://{address}'); s.send(text)
    try: return s.recv()
    except zmq.Again: return None
    finally: s.close()
t = threading.Thread(target=ask, args=(b'first', 10000)); t.start()
time.sleep(0.2); assert ask(b'abandoned', 200) is None
t.join(); say(ask(b'last', 10000).decode())
",
        address = callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["last"]);
    assert_eq!([program.line(), program.line()], ["first", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_native_caller_needs_no_envelope() {
    let context = context();
    let service = Service::new(&context, "Native", ServiceConfig::default()).unwrap();
    let _agent = agent(&service, ECHO).await;
    let reply = context.bus.request(service.subject(), Body::from("hello"), Duration::from_secs(10)).await.unwrap();
    assert_eq!(reply.body, Body::from("hello"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_route_that_asks_for_it_answers_in_place_of_an_agent() {
    let context = context();
    let config = ServiceConfig { fail_fast: Some("nobody home".into()), ..ServiceConfig::default() };
    let (loud, silent) =
        (Service::new(&context, "Loud", config).unwrap(), Service::new(&context, "Silent", ServiceConfig::default()).unwrap());
    let (loud, silent) = (loud.bind_callers(&any_port()).await.unwrap(), silent.bind_callers(&any_port()).await.unwrap());
    let caller = Program::start(&format!(
        r"
for address in ('{}', '{}'):
    s = ctx.socket(zmq.REQ); s.linger = 0; s.rcvtimeo = 500; s.connect('tcp://' + address); s.send(b'?')
    try: say(s.recv().decode())
    except zmq.Again: say('silence')
    s.close()
",
        loud.local_addr(),
        silent.local_addr()
    ));
    assert_eq!(caller.finish(), ["nobody home", "silence"]);
}
