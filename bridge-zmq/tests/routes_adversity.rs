//! A service route stays whole when its peers are odd, silent, gone, or share a name: nobody gets another's reply, and nobody's silence is
//! another's.

mod routes_support;

use myelin_bridge_zmq::front::Connector;
use myelin_bridge_zmq::routes::service::{Service, ServiceConfig};

use routes_support::{Program, any_port, at, context, sharing_context, until};

async fn attach(service: &Service, code: &str) -> (Program, Connector) {
    let program = Program::start(code);
    let port: u16 = program.line().parse().expect("a port");
    let before = service.agents_connected();
    let connector = service.connect_agent(&at(([127, 0, 0, 1], port).into()));
    until("the agent attaches", || service.agents_connected() > before).await;
    (program, connector)
}

/// A REP that answers each request with itself.
const ECHO: &str = "
s = ctx.socket(zmq.REP); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
while True: s.send_multipart(s.recv_multipart())
";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_rep_would_discard_costs_no_window() {
    let context = context();
    let service = Service::new(&context, "Odd", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let _agent = attach(&service, ECHO).await;
    let caller = Program::start(&format!(
        r"
d = ctx.socket(zmq.DEALER); d.linger = 1000; d.connect('tcp://{address}')
for odd in [[b''], [b'x', b''], [b'x'], [b'x', b'y', b'z']]: d.send_multipart(odd)
d.rcvtimeo = 10000; d.send_multipart([b'', b'own']); say(d.recv_multipart())
r = ctx.socket(zmq.REQ); r.linger = 0; r.rcvtimeo = 10000; r.connect('tcp://{address}')
r.send(b''); say(r.recv()); r.send_multipart([b'a', b'']); say(r.recv_multipart())
",
        address = callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["[b'', b'own']", "b''", "[b'a', b'']"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_never_answers_holds_its_own_window_only() {
    let context = context();
    let service = Service::new(&context, "Mute", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let (mute, _mute) = attach(
        &service,
        "
s = ctx.socket(zmq.REP); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
say(s.recv()); sys.stdin.read()
",
    )
    .await;
    let first = Program::start(&format!(
        "
r = ctx.socket(zmq.REQ); r.linger = 0; r.connect('tcp://{}'); r.send(b'swallowed'); say('sent'); sys.stdin.read()
",
        callers.local_addr()
    ));
    assert_eq!((first.line(), mute.line()), ("sent".to_owned(), "b'swallowed'".to_owned()));
    let _echo = attach(&service, ECHO).await;
    let others = Program::start(&format!(
        r"
for i in range(50):
    s = ctx.socket(zmq.REQ); s.linger = 0; s.rcvtimeo = 10000
    s.connect('tcp://{}'); s.send(b'%d' % i); assert s.recv() == b'%d' % i; s.close()
say('all')
",
        callers.local_addr()
    ));
    assert_eq!(others.finish(), ["all"]);
    assert_eq!((service.replies_owed(), service.requests_waiting()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_over_a_request_is_reported_where_the_route_says_so() {
    let context = context();
    let config = ServiceConfig { fail_fast: Some("agent died".into()), ..ServiceConfig::default() };
    let service = Service::new(&context, "Mortal", config).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let _agent = attach(
        &service,
        "
import os
s = ctx.socket(zmq.REP); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
s.recv(); os._exit(1)
",
    )
    .await;
    let caller = Program::start(&format!(
        "
r = ctx.socket(zmq.REQ); r.linger = 0; r.rcvtimeo = 10000; r.connect('tcp://{}'); r.send(b'?'); say(r.recv())
",
        callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["b'agent died'"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_died_over_is_not_repeated_and_its_successor_answers_the_rest() {
    let context = context();
    let service = Service::new(&context, "Phoenix", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    // Both lives on one port. The first one swallows its only request; the second tells what it is asked.
    let (agent, _connector) = attach(
        &service,
        "
s = ctx.socket(zmq.REP); s.linger = 0
port = s.bind_to_random_port('tcp://127.0.0.1'); say(port)
say(s.recv()); s.close(); ctx.term()
ctx = zmq.Context(); s = ctx.socket(zmq.REP); s.linger = 0
for _ in range(500):
    try: s.bind('tcp://127.0.0.1:%d' % port); break
    except zmq.ZMQError: time.sleep(0.01)
while True: m = s.recv(); say(m); s.send(m)
",
    )
    .await;
    let ask = |text: &str, patience: u32| {
        Program::start(&format!(
            r"
s = ctx.socket(zmq.REQ); s.linger = 0; s.rcvtimeo = {patience}; s.connect('tcp://{}'); s.send(b'{text}')
try: say(s.recv())
except zmq.Again: say('silence')
",
            callers.local_addr()
        ))
    };
    let lost = ask("lost", 2000);
    assert_eq!(agent.line(), "b'lost'");
    assert_eq!(ask("found", 15_000).finish(), ["b'found'"]);
    assert_eq!(lost.finish(), ["silence"]);
    assert_eq!((agent.line(), agent.try_line()), ("b'found'".to_owned(), None), "nothing is repeated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_never_reads_delays_nobody() {
    let context = context();
    let service = Service::new(&context, "Deaf", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let _agent = attach(
        &service,
        "
s = ctx.socket(zmq.REP); s.linger = 0
say(s.bind_to_random_port('tcp://127.0.0.1'))
while True: m = s.recv(); s.send(b'x' * 1000000 if m == b'big' else m)
",
    )
    .await;
    let caller = Program::start(&format!(
        r"
d = ctx.socket(zmq.DEALER); d.linger = 0; d.rcvhwm = 1; d.connect('tcp://{address}')
for i in range(60): d.send_multipart([b'', b'big'])
d.send_multipart([b'', b'end'])
r = ctx.socket(zmq.REQ); r.linger = 0; r.rcvtimeo = 15000; r.connect('tcp://{address}')
for i in range(20): r.send(b'%d' % i); assert r.recv() == b'%d' % i
say('served')
",
        address = callers.local_addr()
    ));
    assert_eq!(caller.finish(), ["served"]);
    until("the flood is answered", || service.replies_owed() == 0 && service.requests_waiting() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_with_equal_identities_each_get_their_own_replies() {
    let context = sharing_context();
    let service = Service::new(&context, "Twins", ServiceConfig::default()).unwrap();
    let callers = service.bind_callers(&any_port()).await.unwrap();
    let _agents = (attach(&service, ECHO).await, attach(&service, ECHO).await);
    let twin = |name: &str| {
        Program::start(&format!(
            r"
s = ctx.socket(zmq.DEALER); s.linger = 0; s.rcvtimeo = 10000; s.identity = b'worker'; s.connect('tcp://{}')
for i in range(200):
    m = [b'', b'{name}%d' % i]; s.send_multipart(m); assert s.recv_multipart() == m
say('own')
",
            callers.local_addr()
        ))
    };
    let (one, other) = (twin("one"), twin("other"));
    assert_eq!((one.finish(), other.finish()), (vec!["own".to_owned()], vec!["own".to_owned()]));
}
